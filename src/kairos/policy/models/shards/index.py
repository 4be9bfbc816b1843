"""The index of a sharded checkpoint: which pieces of which tensors lie in which file, and all that is no tensor."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kairos.core.seals import BrokenFile, Seal, read_state, write_state

INDEX = "index.json"
_FORMAT = "kairos sharded checkpoint 1"


@dataclass(frozen=True)
class Piece:
    """A box of a tensor that one file holds, under the tensor's name."""

    file: str
    offset: tuple[int, ...]
    """Where it begins in the whole tensor, on every axis."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Stored:
    """A tensor that lies in pieces."""

    shape: tuple[int, ...]
    dtype: str
    """safetensors' name, such as F32."""
    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        for piece in self.pieces:
            ends = [first + size for first, size in zip(piece.offset, piece.shape, strict=True)]
            inside = all(end <= size for end, size in zip(ends, self.shape, strict=True))
            if not inside or min((*piece.offset, *piece.shape), default=0) < 0:
                raise ValueError(f"a piece at {piece.offset} of shape {piece.shape} lies outside of {self.shape}")
        if sum(math.prod(piece.shape) for piece in self.pieces) != math.prod(self.shape):
            raise ValueError(f"the pieces of a tensor of shape {self.shape} do not make it up")


@dataclass(frozen=True)
class Index:
    """What `index.json` says."""

    files: Mapping[str, Seal]
    """Length and checksum of every other file of the checkpoint."""
    tensors: Mapping[str, Stored]
    state: object
    """The checkpoint as `plain.packed` writes it."""

    def write(self, folder: Path) -> None:
        """Write the index, with its seal."""
        held = {
            "format": _FORMAT,
            "files": {name: asdict(seal) for name, seal in self.files.items()},
            "tensors": {name: asdict(stored) for name, stored in self.tensors.items()},
            "state": self.state,
        }
        write_state(folder / INDEX, json.dumps(held, allow_nan=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Index:
        """BrokenFile, with the file and the reason, for an index that is missing, damaged or of another format."""
        path = folder / INDEX
        try:
            held = json.loads(read_state(path))
            if held["format"] != _FORMAT:
                raise ValueError(f"its format is {held['format']!r}, and only {_FORMAT!r} is read")
            files = {_plain(name): Seal(int(seal["size"]), int(seal["crc32"])) for name, seal in held["files"].items()}
            tensors = {name: _stored(row) for name, row in held["tensors"].items()}
            for name, stored in tensors.items():
                if strange := {piece.file for piece in stored.pieces} - files.keys():
                    raise ValueError(f"{name} lies in {sorted(strange)}, which it does not list")
            return cls(files, tensors, held["state"])
        except FileNotFoundError as error:
            raise BrokenFile(f"{path} is missing: restore it from a copy") from error
        except BrokenFile:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BrokenFile(
                f"{path} is no index of a sharded checkpoint: {error!r}. Restore it from a copy"
            ) from error


def _stored(row: Mapping[str, object]) -> Stored:
    pieces = row["pieces"]
    assert isinstance(pieces, list)
    found = [Piece(_plain(one["file"]), _numbers(one["offset"]), _numbers(one["shape"])) for one in pieces]
    return Stored(_numbers(row["shape"]), str(row["dtype"]), tuple(found))


def _numbers(row: object) -> tuple[int, ...]:
    if not isinstance(row, list) or not all(type(number) is int for number in row):
        raise ValueError(f"a shape is a list of whole numbers, got {row!r}")
    return tuple(row)


def _plain(name: object) -> str:
    """The name of a file in the folder itself: an index may lead nowhere else."""
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise ValueError(f"{name!r} is no safetensors file of the checkpoint's own folder")
    return name
