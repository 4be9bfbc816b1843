"""Safetensors files with a checksum, written atomically and memory-mapped, for the clip store and the feature store."""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import safetensors.torch
import torch
from torch import Tensor

from kairos.core.regular_files import open_regular
from kairos.core.seals import BrokenFile, Identity
from kairos.video.errors import StoreError

_LARGEST_HEADER = 64 << 20
_intact: dict[str, Identity] = {}
"""Files whose checksum this process has found right, as they were then."""


class Part(TypedDict):
    """The entry of one tensor in a safetensors header."""

    dtype: str
    """safetensors' name, such as "BF16"."""
    shape: list[int]
    data_offsets: tuple[int, int]
    """First and last byte (exclusive), counted from the end of the header."""


@dataclass(frozen=True)
class Sealed:
    """A memory-mapped file."""

    parts: Mapping[str, Part]
    """Header entries of the tensors by name."""
    metadata: Mapping[str, str]
    data: Tensor
    """uint8 [N]: all bytes after the header."""

    def bytes(self, name: str, *dtypes: str) -> Tensor:
        """The mapped bytes of one tensor, which must be of one of these safetensors types. BrokenFile."""
        part = self.parts[name]
        if part["dtype"] not in dtypes:
            raise BrokenFile(f"a tensor of {part['dtype']} where {' or '.join(dtypes)} is expected")
        first, last = part["data_offsets"]
        return self.data[first:last]

    def check(self, about: str, tensors: Sequence[Tensor], path: str, now: Identity) -> None:
        """BrokenFile if the checksum is wrong.

        It is computed once in a process, and again when the file's `identity` is no longer `now`: when it was changed,
        replaced or copied. What the disk or the memory damages after that without a write is not noticed.
        """
        if _intact.get(path) == now:
            return
        if checksum(about, tensors) != int(self.metadata["crc32"]):
            raise BrokenFile("its checksum is wrong")
        _intact[path] = now


def read_sealed(path: str, size: int, form: str) -> Sealed:
    """Map a file of `size` bytes and this format. FileNotFoundError, BrokenFile.

    Parses the header itself: the safetensors library takes several times as long for a small file.
    """
    with open_regular(path) as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if start > _LARGEST_HEADER:
            raise BrokenFile(f"a header of {start} bytes")
        if start > size:
            raise BrokenFile(f"it ends at byte {size}, inside its header")
        parts = json.loads(file.read(start - 8))
    metadata = parts.pop("__metadata__", {})
    if metadata.get("format") != form:
        raise BrokenFile(f"it is no {form!r} file")
    end = start + max(part["data_offsets"][1] for part in parts.values())
    if end != size:
        raise BrokenFile(f"it ends at byte {size} instead of {end}")
    return Sealed(parts, metadata, torch.from_file(path, shared=False, size=size, dtype=torch.uint8)[start:])


def write_sealed(path: Path, form: str, about: str, tensors: Mapping[str, Tensor], remedy: str) -> None:
    """Write atomically; two writers of one file do not disturb each other. Tensors are contiguous and on the CPU.

    StoreError, with the `remedy` (which has a place for the {reason}), when the disk is full or the folder cannot be
    written.
    """
    metadata = {
        "format": form,
        "about": about,
        "crc32": str(checksum(about, list(tensors.values()))),
    }
    data, partial = safetensors.torch.save(dict(tensors), metadata), ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except OSError as error:
        if partial:
            Path(partial).unlink(missing_ok=True)
        raise StoreError(f"{path}: {remedy.format(reason=f'{error.strerror}; {len(data)} bytes')}") from error


def checksum(about: str, tensors: Sequence[Tensor]) -> int:
    """CRC-32 of `about`, of all tensors (contiguous), and of the last one's shape."""
    crc = zlib.crc32(f"{about}{tuple(tensors[-1].shape)}".encode())
    for tensor in tensors:
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc
