"""Packs a video block's tensors as vLLM's generate endpoint unpacks them (0.25, `mm_serde`): MessagePack in base64.

Written here so that a trainer needs no vLLM beside it.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_RAW_VIEW = 3  # vllm.v1.serial_utils.CUSTOM_TYPE_RAW_VIEW


@dataclass(frozen=True)
class Extension:
    """Bytes of a type of one's own."""

    code: int
    data: bytes


def packed_item(fields: Mapping[str, Tensor], on_host: Sequence[str]) -> str:
    """One `MultiModalKwargsItem`: tensors by name, those named in `on_host` not to be copied to the GPU."""
    return base64.b64encode(
        packed(
            {
                name: {"data": _tensor(tensor), "field": ["batched", {"keep_on_cpu": name in on_host}]}
                for name, tensor in fields.items()
            }
        )
    ).decode("ascii")


def packed(value: object) -> bytes:
    """MessagePack, always in the long forms.

    >>> packed({"a": [1, True, Extension(3, b"xy")]}).hex(" ", -4)
    'df000000 01db0000 000161dd 00000003 d3000000 00000000 01c3c900 00000203 7879'
    """
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">bq", -0x2D, value)
    if isinstance(value, str):
        data = value.encode()
        return struct.pack(">BI", 0xDB, len(data)) + data
    if isinstance(value, Extension):
        return struct.pack(">BIb", 0xC9, len(value.data), value.code) + value.data
    if isinstance(value, Mapping):
        pairs = [packed(part) for pair in value.items() for part in pair]
        return struct.pack(">BI", 0xDF, len(value)) + b"".join(pairs)
    assert isinstance(value, Sequence)
    return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(packed, value))


def _tensor(tensor: Tensor) -> list[object]:
    """[dtype, shape, its bytes]."""
    data = tensor.detach().cpu().contiguous()
    raw = Extension(_RAW_VIEW, data.view(-1).view(torch.uint8).numpy().tobytes())
    return [str(tensor.dtype).removeprefix("torch."), list(tensor.shape), raw]
