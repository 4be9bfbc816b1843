"""Stored clips, features, models and selections that are damaged: is what is read still what was written?"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

import torch
from torch import Tensor, nn

from kairos.compose import compose, part
from kairos.core.protocols import Policy
from kairos.core.types import VideoSource
from kairos.curriculum.selections import Selection, read_selection, write_selection
from kairos.data.mini.world import MiniWorld
from kairos.policy.models.export import HuggingFaceFolder
from kairos.video.budget import PixelBudget
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore
from kairos.video.store.feature_stores import FeatureFiles

from .damage import DAMAGES
from .jobs import call
from .trial import Outcome, Verdict, last_lines, named

_PATIENCE = 60.0
_KEY = "tower/ab/clip"
_SMALL = [
    "+policy.config.hidden=32", "+policy.config.layers=1", "+policy.config.intermediate=32",
    "+policy.config.sections=[4,2,2]", "+policy.config.vision_hidden=32", "+policy.config.vision_layers=1",
    "+policy.config.vision_heads=2", "+policy.config.deepstack=[0]",
]  # fmt: skip


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors by name."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Stored:
    """How files of a kind are written and read again."""

    write: Callable[[Path, Path], object]
    """(folder, the folder of all trials) -> writes the file."""
    read: Callable[[Path, Path], str]
    """(folder, the folder of all trials) -> a digest of what is read, "not used" if the file was noticed."""
    pattern: str
    """Of the file's name below the folder."""


def _clip(work: Path) -> tuple[VideoSource, Callable[[Path], ClipLoader]]:
    records = MiniWorld(str(work / "mini"), "val", clips=1, workers=1).records()
    return records[0].video, lambda folder: ClipLoader(
        ClipStore(folder), budget=PixelBudget(factor=32, min_pixels=32**2, max_pixels=64**2), on_miss="fill"
    )


def _write_clip(folder: Path, work: Path) -> None:
    source, loader = _clip(work)
    loader(folder).load(source)


def _read_clip(folder: Path, work: Path) -> str:
    source, loader = _clip(work)
    clip = loader(folder).load(source)
    assert clip.frames_TCHW is not None
    return digest({"frames": clip.frames_TCHW, "seconds": clip.seconds_T, "duration": torch.tensor(clip.duration)})


def _write_features(folder: Path, work: Path) -> None:
    del work
    FeatureFiles(folder).put(_KEY, torch.randn(40, 16, generator=torch.Generator().manual_seed(0)))


def _read_features(folder: Path, work: Path) -> str:
    del work
    features = FeatureFiles(folder).get(_KEY)
    return "not used" if features is None else digest({"features": features})


def _write_model(folder: Path, work: Path) -> None:
    del work
    built = part(compose(["policy=mini_random", *_SMALL]).policy)
    built.build()  # type: ignore[attr-defined]
    HuggingFaceFolder()(cast("Policy", built), folder)


def _read_model(folder: Path, work: Path) -> str:
    del work
    built = part(compose(["policy=mini", f"policy.weights={folder}"]).policy)
    built.build()  # type: ignore[attr-defined]
    return digest(cast("nn.Module", built).state_dict())


def _write_selection(folder: Path, work: Path) -> None:
    del work
    write_selection(folder / "selection.json", Selection(tuple(f"toy/train-0/{index:04d}" for index in range(12))))


def _read_selection(folder: Path, work: Path) -> str:
    del work
    return ",".join(read_selection(folder / "selection.json").uids)


FILES = {
    "a stored clip": Stored(_write_clip, _read_clip, "**/*.safetensors"),
    "stored features": Stored(_write_features, _read_features, "**/*.safetensors"),
    "an exported model's weights": Stored(_write_model, _read_model, "*.safetensors"),
    "an exported model's configuration": Stored(_write_model, _read_model, "config.json"),
    "a selection": Stored(_write_selection, _read_selection, "*.json"),
}


@dataclass(frozen=True)
class StoredFile:
    """A stored file is damaged, and read in a new process."""

    file: str
    damage: str
    trials: int = 20

    @property
    def name(self) -> str:
        return f"{self.damage}: {self.file}"

    def prepare(self, work: Path) -> None:
        whole, stored = self._whole(work), FILES[self.file]
        if (whole / "digest").exists():
            return
        shutil.rmtree(whole, ignore_errors=True)
        job = call(lambda: stored.write(whole / "files", work), whole, whole / "log")
        again = (
            call(lambda: self._note(whole / "files", work, whole), whole, whole / "log") if not job.wait(120) else job
        )
        if again.wait(120) != 0:
            raise RuntimeError(f"{self.file} cannot be made: see {job.log}")

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        del number
        whole = self._whole(work)
        shutil.copytree(whole / "files", trial / "files")
        victim = max((trial / "files").glob(FILES[self.file].pattern))
        what = f"{victim.name}: {DAMAGES[self.damage](victim, chance)}"
        job = call(lambda: self._note(trial / "files", work, trial), trial, trial / "log")
        code = job.wait(_PATIENCE)
        job.stop()
        said = job.said()
        if code != 0:
            told = code is not None and named(said.splitlines()[-1] if said else "", victim.name, str(victim.parent))
            return Outcome(Verdict.NAMED if told else Verdict.LOST, what, f"exit code {code}: {last_lines(said)}")
        read = (trial / "digest").read_text()
        if read in ((whole / "digest").read_text(), "not used"):
            return Outcome(Verdict.SURVIVED, what, last_lines(said, 1))
        return Outcome(Verdict.LOST, what, f"it was read without a word: {read[:40]}")

    def _whole(self, work: Path) -> Path:
        return work / self.file.replace(" ", "-").replace("'", "")

    def _note(self, folder: Path, work: Path, where: Path) -> None:
        (where / "digest").write_text(FILES[self.file].read(folder, work))
