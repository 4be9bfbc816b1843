"""Videos in many containers: is each frame given at its own time, as a decode from the start shows it?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from random import Random

from .jobs import call
from .trial import Outcome, Verdict, last_lines

_PATIENCE = 120.0
_TOLERANCE = 0.021
"""Seconds: half a frame of the videos, which have 25 a second."""
_PRIMING = 1024 / 16_000
"""Seconds by which an encoder of sound begins before the sound, and so the file: MPEG-TS does not hide them."""


@dataclass(frozen=True)
class Containers:
    """Each trial measures one video of `benchmarks/containers.py`."""

    name: str = "frames at their times"

    @property
    def trials(self) -> int:
        return len(import_module("containers").VIDEOS)

    def prepare(self, work: Path) -> None:
        """Nothing: each video is rendered in its trial."""

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        del work, chance
        module = import_module("containers")
        video, found = module.VIDEOS[number], trial / "found.json"

        def measure() -> None:
            found.write_text(json.dumps([asdict(row) for row in module.measure([video])]))

        job = call(measure, trial, trial / "log")
        code = job.wait(_PATIENCE)
        job.stop()
        if code != 0:
            return Outcome(Verdict.LOST, str(video), f"exit code {code}: {last_lines(job.said())}")
        rows = json.loads(found.read_text())
        if not rows:
            return Outcome(Verdict.NAMED, str(video), "cannot be written here")
        row = rows[0]
        if row["seconds"] is None:
            return Outcome(Verdict.NAMED, str(video), row["refused"])
        late = _PRIMING if video.sound_first and video.container == "ts" else 0.0
        exact = abs(row["seconds"] - late) < _TOLERANCE and not row["unreadable"]
        said = f"at most {row['seconds']:.3f} s off, {row['unreadable']} frames unreadable"
        return Outcome(Verdict.SURVIVED if exact else Verdict.LOST, str(video), said, row["seconds"])
