"""`make doctor`: what this machine has, and whether a clip can be decoded, kept and answered about here."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from kairos.compose import compose, part
from kairos.core.types import Prompt, Sampling, VideoClip
from kairos.data.mini.world import MiniWorld
from kairos.data.records import Record
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.language import LanguagePolicy
from kairos.runs.versions import given_up, versions
from kairos.video.loader import ClipLoader

_FAULTS = (ValueError, OSError, RuntimeError, ImportError)


def main(folder: Path) -> int:
    """Print versions and hardware, then a line for each trial: OK, or what to do. 0 if all are OK, 1 otherwise.

    What the trials write goes to a folder within `folder` that is removed behind them.
    """
    print(versions(folder) + given_up())
    table, whole = Table("tried", "found", "seconds"), True
    for name, said, fault, seconds in tried(folder):
        table.add_row(name, fault or f"OK: {said}", f"{seconds:.1f}")
        whole = whole and not fault
    Console(markup=False, width=None if sys.stdout.isatty() else 120).print(table)
    print("all is well" if whole else "mend what the last line says, then `make doctor` again")
    return 0 if whole else 1


def tried(folder: Path) -> Iterator[tuple[str, str, str, float]]:
    """(trial, what it saw, what failed, seconds) of each trial, up to the first that fails."""
    began = time.monotonic()
    try:
        place = TemporaryDirectory(dir=folder, prefix=".doctor-")
    except OSError as error:
        yield "a folder", "", f"nothing can be written here ({error}): work in another folder", time.monotonic() - began
        return
    with place:
        trials = Trials(Path(place.name))
        for name, trial in trials.all().items():
            began, said, fault = time.monotonic(), "", ""
            try:
                said = trial()
            except _FAULTS as error:
                fault = f"{type(error).__name__}: {error}"
            yield name, said, fault, time.monotonic() - began
            if fault:
                return


class Trials:
    """What a run does, once and small, in the folder `place`. Each trial needs what those before it made."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def all(self) -> dict[str, Callable[[], str]]:
        return {"write a video": self.write, "decode it": self.decode, "clip cache": self.keep, "answer": self.answer}

    def write(self) -> str:
        return f"{Path(self._record.video.path).stat().st_size} bytes of mp4"

    def decode(self) -> str:
        return f"{len(self._clip)} frames by {part(self._config.decoder)}"

    def keep(self) -> str:
        """RuntimeError where the store gives other frames than were decoded."""
        for _ in ("it is decoded again and stored", "it is read"):
            found = self._loader().load(self._record.video).frames_TCHW
            if found is None or not torch.equal(found, cast("torch.Tensor", self._clip.frames_TCHW)):
                raise RuntimeError("the clip cache gives other frames than were decoded: try another disk")
        return "written, read again, and equal"

    def answer(self) -> str:
        """One forward pass and more of the shipped model, on the GPU where there is one."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        policy = cast("LanguagePolicy", part(self._config.policy))
        policy.build()
        policy.eval().to(device)
        record = self._record
        prompt = Prompt(
            record.uid, record.task, record.source, self._clip, record.question, record.target, template=AnswerOnly()
        )
        prompt = replace(prompt, layout=policy.processor(prompt))
        (group,) = policy.sample([prompt], 1, Sampling(temperature=0.0, max_actions=16), seed=0)
        where = torch.cuda.get_device_name() if device.type == "cuda" else "the CPU"
        return f"the mini policy writes {group.rollouts[0].text!r} on {where}"

    @cached_property
    def _config(self) -> DictConfig:
        return compose(["policy=mini", "data=mini", f"store={self.place / 'clips'}"])

    @cached_property
    def _record(self) -> Record:
        world = MiniWorld(str(self.place / "world"), "val", clips=1, tasks=["grounding"], workers=1)
        return world.records()[0]

    @cached_property
    def _clip(self) -> VideoClip:
        return self._loader().decode(self._record.video)[0]

    def _loader(self) -> ClipLoader:
        return cast("ClipLoader", part(self._config.loader))


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
