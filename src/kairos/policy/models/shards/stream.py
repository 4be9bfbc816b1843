"""Writes a safetensors file one tensor at a time, so that no second copy of its tensors is held in memory.

safetensors' own writer wants all bytes at once. The form: the header's length (8 bytes, little endian), the header in
JSON, the tensors' bytes one after another.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kairos.core.files import sync
from kairos.core.seals import Seal, Sealing

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""safetensors' names of torch's types."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> Seal:
    """Write the tensors to a new file and sync it; returns its seal. A tensor on a GPU passes through the host alone.

    ValueError for a type that safetensors has no name for.
    """
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())  # every tensor begins aligned
    header: dict[str, object] = {}
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": dtype_name(tensor), "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        sealing = Sealing(file)
        sealing.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in ordered:
            sealing.write(_content(tensor))
        sync(file)
    return sealing.seal


def dtype_name(tensor: Tensor) -> str:
    if tensor.dtype not in DTYPES:
        raise ValueError(
            f"safetensors holds no {tensor.dtype}: a checkpoint's tensors are {', '.join(DTYPES.values())}"
        )
    return DTYPES[tensor.dtype]


def _content(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
