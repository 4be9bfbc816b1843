"""Frames that a JSON file lists for each prompt: picks of another program, or of `scripts/pick_frames.py`.

The file is a list of rows, or a mapping from a prompt's uid to a row. A row names frames by the first of these that it
has:

| field | |
|---|---|
| `seconds` | [1.5, 20.0]: seconds from the start of the clip; the nearest frame is taken |
| `frame_idx` | [36, 480.0]: frame numbers of the video file, as the patched lmms-eval of TSPO reads them |
| `frames` | [3, 40]: indices of the clip's frames, which depend on the frame rate (`frames.fps`) |

In a mapping, a plain list of integers means `frames`. A row of a list is named by its `uid`, `id` or `question_id`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from kairos.core.types import Prompt, VideoClip
from kairos.video.loader import ClipLoader
from kairos.video.samplers.spread import all_or

FIELDS = ("seconds", "frame_idx", "frames")
_NAMES = ("uid", "id", "question_id")
_SLACK = 1e-3  # seconds, for times that were rounded when written


@dataclass(frozen=True)
class Listed:
    """The frames that the row of a prompt names; read at the first call. Frames named twice are shown once.

    A row is that of a prompt when it is named by the prompt's uid, or by what follows the last ":" of it.
    """

    file: str | None
    """None is refused."""
    loader: ClipLoader
    """Opens videos, for `frame_idx` only."""
    name: str | None = None
    """The field that names a row of a list; None: the first of uid, id and question_id that it has."""

    def __post_init__(self) -> None:
        if self.file is None:
            raise ValueError("sampler=file needs picks=<file.json>; scripts/pick_frames.py writes one")

    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        """int64 [min(K, T) at most], rising. ValueError, with file and row, where the file does not fit the prompt."""
        name, row = self._row_of(prompt)
        index = self._indices(f"{self.file}, row {name}", row, prompt.clip)
        if (every := all_or(len(prompt.clip), count)) is not None:
            return every
        if len(index) > count:
            raise ValueError(
                f"{self.file}, row {name}: lists {len(index)} frames, but shown_frames={count}: raise it, or list fewer"
            )
        return index

    @cached_property
    def rows(self) -> dict[str, object]:
        """Every row by its name."""
        assert self.file is not None
        try:
            tree: object = json.loads(Path(self.file).read_bytes())
        except FileNotFoundError as error:
            raise ValueError(f"picks={self.file}: no such file; scripts/pick_frames.py writes one") from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.file} is not JSON in UTF-8: {error}; restore it, or make it again") from error
        if isinstance(tree, Mapping):
            return {str(name): row for name, row in tree.items()}
        if not isinstance(tree, list):
            raise ValueError(f"{self.file} must hold a list of rows or a mapping from uid to row")
        return {self._name_of(number, row): row for number, row in enumerate(cast("list[object]", tree))}

    def __getstate__(self) -> dict[str, object]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def _name_of(self, number: int, row: object) -> str:
        names = _NAMES if self.name is None else (self.name,)
        found = next((row[name] for name in names if name in row), None) if isinstance(row, Mapping) else None
        if found is None:
            raise ValueError(
                f"{self.file}, row {number}: has no field {' or '.join(names)} that names its prompt; "
                "sampler.name=<field> says which does"
            )
        return str(found)

    def _row_of(self, prompt: Prompt) -> tuple[str, object]:
        for name in (prompt.uid, prompt.uid.rpartition(":")[2]):
            if name in self.rows:
                return name, self.rows[name]
        first = next(iter(self.rows), "nothing")
        raise ValueError(
            f"{self.file} has no row for prompt {prompt.uid}: it has {len(self.rows)}, the first for {first}; make it "
            "anew for this data, or name the field that holds the uid: sampler.name=<field>"
        )

    def _indices(self, where: str, row: object, clip: VideoClip) -> Tensor:
        fields = row if isinstance(row, Mapping) else {"frames": row}
        name = next((name for name in FIELDS if fields.get(name) is not None), None)
        if name is None:
            raise ValueError(f"{where}: has none of the fields {', '.join(FIELDS)}")
        values = _numbers(where, name, fields[name], whole=name != "seconds")
        if not len(values):
            raise ValueError(f"{where}: lists no frames")
        if name == "frames":
            return _within(where, "frame", values, len(clip), f"the clip has {len(clip)} frames").unique()
        if name == "frame_idx":
            values = self._seconds(where, values, clip)
        if float(values.min()) < -_SLACK or float(values.max()) > clip.duration + _SLACK:
            beyond = next(float(v) for v in values if not -_SLACK <= float(v) <= clip.duration + _SLACK)
            raise ValueError(f"{where}: names {beyond:g} s, but the clip lasts {clip.duration:g} s")
        return (values[:, None] - clip.seconds_T.double()).abs().argmin(-1).unique()

    def _seconds(self, where: str, numbers: Tensor, clip: VideoClip) -> Tensor:
        """The times of frame numbers of the clip's video file, from the start of the clip."""
        if clip.source is None:
            raise ValueError(f"{where}: frame_idx counts frames of a video file, and clip {clip.uid} has none")
        seconds_N = self.loader.frame_seconds(clip.source)
        index = _within(where, "frame_idx", numbers, len(seconds_N), f"{clip.source} has {len(seconds_N)} frames")
        return torch.from_numpy(np.asarray(seconds_N))[index] - (clip.source.start or 0.0)


def _numbers(where: str, name: str, values: object, whole: bool) -> Tensor:
    """float64 [K]. ValueError unless `values` are numbers, whole ones if `whole`."""
    listed = cast("Sequence[object]", values) if isinstance(values, list) else None
    if listed is None or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in listed):
        raise ValueError(f"{where}: {name} must be a list of numbers, got {values!r}")
    try:
        tensor = torch.tensor([float(cast("float", value)) for value in listed], dtype=torch.float64)
    except OverflowError:
        raise ValueError(f"{where}: {name} holds a number of hundreds of digits") from None
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{where}: {name} must be finite numbers, got {values!r}")
    if whole and bool((tensor != tensor.round()).any()):
        raise ValueError(f'{where}: {name} must be whole numbers, got {values!r}; times stand in "seconds": [...]')
    return tensor


def _within(where: str, name: str, values: Tensor, end: int, has: str) -> Tensor:
    """int64 [K]. ValueError where a value lies outside 0..end - 1."""
    for value in values.long().tolist():
        if not 0 <= value < end:
            raise ValueError(f"{where}: names {name} {value}, but {has} (0 to {end - 1})")
    return values.long()
