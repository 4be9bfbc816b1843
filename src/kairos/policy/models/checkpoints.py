"""Finds and opens checkpoints of runs, for everybody: one that is not intact is never used in silence.

A checkpoint is a file of torch's, or a folder of safetensors files (`shards`): both have the same names and hold the
same.
"""

from __future__ import annotations

import logging
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from kairos.core.seals import BrokenFile, Identity, check, identity
from kairos.policy.models.shards.index import INDEX
from kairos.policy.models.shards.reading import Assembled, check_shards, tree_of

_log = logging.getLogger(__name__)
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, NotImplementedError, OSError, OverflowError,
    RuntimeError, ValueError,
)  # fmt: skip
"""What zipfile and torch raise for a damaged archive."""
_PICKLES = (".metadata", "meta.pt")
"""Files of torch's and Lightning's distributed checkpoints."""


class NotPlain(ValueError):
    """A checkpoint holds pickled objects, which are never loaded."""


@dataclass(frozen=True)
class Newest:
    """The newest intact checkpoint of a run, and what there is to say about it."""

    path: Path | None
    """None before the first checkpoint."""
    remarks: tuple[str, ...] = ()
    """Broken checkpoints that were passed over, and checkpoints without a seal."""


def newest_intact(folder: Path) -> Newest:
    """The checkpoint of the latest iteration in `folder` that is intact.

    BrokenFile, which names all of them, if there are checkpoints and none is intact.
    """
    remarks: list[str] = []
    for path in sorted(folder.glob("iteration-*.ckpt"), reverse=True):
        try:
            remark = verify(path)
        except BrokenFile as error:
            remarks.append(str(error))
            continue
        if remarks:
            remarks.append(f"BROKEN CHECKPOINT: {path.name}, the one before, is used instead")
        return Newest(path, (*remarks, *([remark] if remark else ())))
    if remarks:
        listed = "\n".join(f"  {remark}" for remark in remarks)
        raise BrokenFile(
            f"no checkpoint in {folder} is intact:\n{listed}\n"
            "start the run again with overwrite=true, or another one from other weights (policy.weights=...)"
        )
    return Newest(None)


def newest_checkpoint(run: Path) -> Path | None:
    """The newest intact checkpoint of a run, or None before there is one; remarks go to the log. BrokenFile."""
    newest = newest_intact(run / "checkpoints")
    for remark in newest.remarks:
        _log.warning("%s", remark)
    return newest.path


def verify(path: Path) -> str | None:
    """Read the checkpoint and compare it with its seals: None if it is intact, a remark if it has none. BrokenFile.

    Without a seal (checkpoints of older versions) the checksums that torch's file format keeps of each tensor are
    compared. Each file is read once in a process, unless it changes. ValueError if there is no such file.
    """
    try:
        files = sorted(path.iterdir()) if path.is_dir() else []
        return _verified(path, tuple(identity(file) for file in (path, *files)))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: there is no such checkpoint") from error


def load(path: Path) -> Mapping[str, object]:
    """What a checkpoint holds, on the CPU: memory-mapped, or put together when asked for. BrokenFile, NotPlain."""
    verify(path)
    return Assembled(tree_of(path)) if path.is_dir() else _mapped(path)


def state_of(path: Path) -> Mapping[str, Tensor]:
    """The tensors of the trained module in a checkpoint. BrokenFile, ValueError."""
    found = load(path).get("state_dict")
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} is not a checkpoint of a run: it has no state_dict")
    return cast("Mapping[str, Tensor]", found)


def policy_state(path: Path) -> dict[str, Tensor]:
    """The policy's tensors in a checkpoint, under their names without "policy."."""
    saved = state_of(path)
    return {name.removeprefix("policy."): value for name, value in saved.items() if name.startswith("policy.")}


def _mapped(path: Path) -> Mapping[str, object]:
    try:
        return cast("Mapping[str, object]", torch.load(path, "cpu", weights_only=True, mmap=True))
    except pickle.UnpicklingError as error:
        raise NotPlain(f"{path} holds more than tensors and plain values, so it is not loaded: {error}") from error


@lru_cache(maxsize=256)
def _verified(path: Path, now: tuple[Identity, ...]) -> str | None:
    del now
    if path.is_dir():
        return _verified_folder(path)
    if check(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is None:
            _mapped(path)
    except NotPlain:
        raise
    except _DAMAGED as error:
        raise BrokenFile(
            f"{path} is no intact checkpoint: {error} ({path.stat().st_size} bytes). Restore it from a copy"
        ) from error
    if broken is not None:
        raise BrokenFile(f"{path} is broken: the checksum of {broken} in it is wrong. Restore it from a copy")
    return f"{path} has no seal (an older version wrote it, or it was copied alone): only its tensors' checksums fit"


def _verified_folder(path: Path) -> str | None:
    if not (path / INDEX).exists() and any((path / name).exists() for name in _PICKLES):
        raise NotPlain(
            f"{path} is a checkpoint of torch's distributed format, whose index is a pickle, which is never loaded: "
            "train with strategy=fsdp2, whose checkpoints are safetensors files"
        )
    if check_shards(path):
        return None
    return f"{path / INDEX} has no seal (it was copied alone): only the files that it lists have been compared"
