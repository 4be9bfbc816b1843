"""Reads a sharded checkpoint: whole tensors, or the boxes of them that a rank of any world size needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kairos.core.seals import BrokenFile, Seal, check, seal_of
from kairos.policy.models.shards.index import INDEX, Index, Piece, Stored
from kairos.policy.models.shards.plain import unpacked
from kairos.policy.models.shards.stream import DTYPES

_TYPES = {name: dtype for dtype, name in DTYPES.items()}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a checkpoint that is read when it is asked for."""

    folder: Path
    name: str
    stored: Stored

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    def whole(self) -> Tensor:
        """All of it, on the CPU."""
        return self.box((0,) * len(self.shape), self.shape)

    def box(self, offset: Sequence[int], shape: Sequence[int]) -> Tensor:
        """The part that begins at `offset` and has this shape, on the CPU; only the files that hold it are read."""
        if self.stored.dtype not in _TYPES:
            raise BrokenFile(f"{self.folder / INDEX}: {self.name} is of an unknown type {self.stored.dtype!r}")
        found: Tensor | None = None
        for piece in self.stored.pieces:
            common = _common(piece, offset, shape)
            if common is None:
                continue
            ours, theirs = common
            read = self._read(piece, theirs)
            if tuple(read.shape) == tuple(shape):
                return read
            if found is None:
                found = torch.empty(tuple(shape), dtype=read.dtype)
            found[ours] = read
        return torch.empty(tuple(shape), dtype=_TYPES[self.stored.dtype]) if found is None else found

    def _read(self, piece: Piece, part: tuple[slice, ...]) -> Tensor:
        path = self.folder / piece.file
        try:
            with safe_open(path, "pt") as file:
                if not part:
                    return file.get_tensor(self.name)
                held = file.get_slice(self.name)
                if tuple(held.get_shape()) != piece.shape or held.get_dtype() != self.stored.dtype:
                    raise BrokenFile(f"{path}: {self.name} is not what {INDEX} says: restore both from a copy")
                return held[part]
        except (SafetensorError, FileNotFoundError) as error:
            raise BrokenFile(
                f"{path} holds no {self.name} that can be read ({error}): restore it from a copy"
            ) from error


def tree_of(folder: Path) -> dict[str, object]:
    """What the checkpoint holds, every tensor a `StoredTensor`. BrokenFile."""
    index = Index.read(folder)

    def tensor(name: str) -> StoredTensor:
        if name not in index.tensors:
            raise ValueError(f"its state names a tensor {name!r}, which it does not list")
        return StoredTensor(folder, name, index.tensors[name])

    try:
        tree = unpacked(index.state, tensor)
    except (ValueError, TypeError, RecursionError) as error:
        raise BrokenFile(f"{folder / INDEX} is no index of a sharded checkpoint: {error}") from error
    if not isinstance(tree, dict):
        raise BrokenFile(f"{folder / INDEX} holds no state of a run")
    return cast("dict[str, object]", tree)


class Assembled(Mapping[str, object]):
    """A branch of a checkpoint whose tensors are put together when they are asked for, each time anew."""

    def __init__(self, tree: Mapping[str, object]) -> None:
        self._tree = tree

    def __getitem__(self, name: str) -> object:
        branch = self._tree[name]
        if isinstance(branch, Mapping) and branch and all(isinstance(leaf, StoredTensor) for leaf in branch.values()):
            return Assembled(cast("Mapping[str, object]", branch))
        return whole(branch)

    def __contains__(self, name: object) -> bool:
        return name in self._tree

    def __iter__(self) -> Iterator[str]:
        return iter(self._tree)

    def __len__(self) -> int:
        return len(self._tree)


def whole(tree: object) -> object:
    """The same tree with whole tensors."""
    if isinstance(tree, StoredTensor):
        return tree.whole()
    if isinstance(tree, Mapping):
        return {name: whole(branch) for name, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(whole(part) for part in tree)
    return tree


def check_shards(folder: Path) -> bool:
    """Read every file of the checkpoint; whether its index has a seal. BrokenFile for the first that is not intact."""
    sealed = check(folder / INDEX) if (folder / INDEX).exists() else False
    for name, seal in Index.read(folder).files.items():
        path = folder / name
        found = seal_of(path) if path.exists() else None
        if found != seal:
            raise BrokenFile(_not_as_written(path, found, seal))
    return sealed


def _not_as_written(path: Path, found: Seal | None, seal: Seal) -> str:
    if found is None:
        return f"{path} is missing: restore it from a copy"
    return f"{path} is not what was written: it holds {found}, and was written as {seal}. Restore it from a copy"


def _common(
    piece: Piece, offset: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
    """Where a box and a piece meet: the slices of the box and those of the piece; None where they do not."""
    ours, theirs = [], []
    for first, size, start, length in zip(offset, shape, piece.offset, piece.shape, strict=True):
        low, high = max(first, start), min(first + size, start + length)
        if low >= high:
            return None
        ours.append(slice(low - first, high - first))
        theirs.append(slice(low - start, high - start))
    return tuple(ours), tuple(theirs)
