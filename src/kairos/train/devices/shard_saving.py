"""Saves a checkpoint of which every rank writes its own shards.

The folder is written under another name and gets its own when every file in it is on the disk: a run that is killed
before has the checkpoint that it had.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.placement_types import Replicate

from kairos.core.files import UNFINISHED, put_folder
from kairos.core.seals import Seal
from kairos.policy.models.shards.index import Index, Piece, Stored
from kairos.policy.models.shards.plain import packed
from kairos.policy.models.shards.stream import dtype_name, write_tensors
from kairos.runs.folder import RunError
from kairos.train.devices import ranks
from kairos.train.devices.shard_placing import box


def save(tree: Mapping[str, object], path: Path) -> None:
    """Write a checkpoint: called on every rank with its own shards. RunError on all ranks where one cannot write."""
    (process,) = ranks.gather([os.getpid()])[:1]  # the main process's, by which an unfinished folder is known
    unfinished = path.with_name(f".{path.name}.{process}{UNFINISHED}")
    held = _Tensors()
    state = packed(tree, held.name_of)
    mine = {name: own for name, tensor in held.named.items() if (own := _own(tensor)) is not None}
    main, file = ranks.rank() == 0, f"rank-{ranks.rank():05d}.safetensors"
    try:
        _together(path, lambda: _begin(unfinished) if main else None)
        parts = _together(path, lambda: _write(unfinished / file, mine))
        _together(path, lambda: _end(unfinished, path, parts, held.named, state) if main else None)
    finally:
        if main:
            shutil.rmtree(unfinished, ignore_errors=True)  # after an error


class _Part(TypedDict):
    """What one rank has written."""

    file: str
    seal: Seal
    pieces: dict[str, Piece]


class _Tensors:
    """The tensors of a tree by name. Tied ones, which share their memory, are one, under the first of their names."""

    def __init__(self) -> None:
        self.named: dict[str, Tensor] = {}
        self._places: dict[object, str] = {}

    def name_of(self, key: str, leaf: object) -> str | None:
        """The name that the tensor `leaf` is saved under; None for other leaves."""
        if not isinstance(leaf, Tensor):
            return None
        local = leaf.to_local() if isinstance(leaf, DTensor) else leaf
        place = (
            (local.data_ptr(), tuple(leaf.shape), local.stride(), local.dtype, local.device) if local.numel() else key
        )
        name = self._places.setdefault(place, key)
        self.named.setdefault(name, leaf.detach())
        return name


def _together(path: Path, work: Callable[[], _Part | None]) -> list[_Part | None]:
    """What every rank's `work` gave; RunError on all of them, with the reason, where one could not do it."""
    done, failure = None, ""
    try:
        done = work()
    except (OSError, RuntimeError, ValueError) as error:
        failure = f"rank {ranks.rank()}: {error}"
    everyone = ranks.gather([(done, failure)])
    failures = [failure for _, failure in everyone if failure]
    if failures:
        raise RunError(
            f"{path}: the checkpoint cannot be written ({'; '.join(failures)}). Earlier checkpoints are as they were: "
            "free space, and continue the run with run=<its folder>"
        )
    return [done for done, _ in everyone]


def _begin(unfinished: Path) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)


def _write(path: Path, mine: Mapping[str, tuple[Tensor, tuple[int, ...]]]) -> _Part | None:
    """This rank's pieces; None where it has none, as a second replica."""
    if not mine:
        return None
    seal = write_tensors(path, {name: tensor for name, (tensor, _) in mine.items()})
    pieces = {name: Piece(path.name, offset, tuple(tensor.shape)) for name, (tensor, offset) in mine.items()}
    return _Part(file=path.name, seal=seal, pieces=pieces)


def _end(unfinished: Path, path: Path, parts: list[_Part | None], tensors: Mapping[str, Tensor], state: object) -> None:
    written = [part for part in parts if part is not None]
    for part in written:
        if not (unfinished / part["file"]).exists():
            raise OSError(
                f"{part['file']} was written on another disk: a sharded checkpoint needs one that all hosts share, or "
                "say trainer.strategy.sharded_checkpoints=false"
            )
    stored = {
        name: Stored(
            tuple(tensor.shape), dtype_name(tensor), tuple(p["pieces"][name] for p in written if name in p["pieces"])
        )
        for name, tensor in tensors.items()
    }
    Index({part["file"]: part["seal"] for part in written}, stored, state).write(unfinished)
    put_folder(unfinished, path)


def _own(tensor: Tensor) -> tuple[Tensor, tuple[int, ...]] | None:
    """What this rank writes of a tensor, and where that begins; None for what another rank writes, or nothing."""
    if not isinstance(tensor, DTensor):
        return (tensor, (0,) * tensor.ndim) if ranks.rank() == 0 else None
    coordinate = tensor.device_mesh.get_coordinate() or ()
    copies = [isinstance(placement, Replicate) for placement in tensor.placements]
    if any(place for place, copied in zip(coordinate, copies, strict=True) if copied):
        return None
    offset, shape = box(tensor)
    return (tensor.to_local(), offset) if all(shape) else None
