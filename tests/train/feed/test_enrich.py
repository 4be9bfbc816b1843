"""A user's part adds features in the loader's workers, and the policy sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.running import curve, rows
from torch.nn.functional import one_hot

from kairos.compose import build, compose, part
from kairos.core.protocols import Enrich
from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, VideoClip, VideoSource
from kairos.curriculum.order import Order
from kairos.data.dataset import PromptDataset, collate
from kairos.data.mixture import mixed
from kairos.data.records import Record
from kairos.train.feed.datamodule import PromptDataModule
from kairos.video.errors import StoreError, VideoError
from kairos.video.store.feature_stores import FeatureFiles

WIDTH, FRAMES = 8, 32


@dataclass(frozen=True)
class Camera:
    """A loader whose clips have no pixels and no features."""

    def load(self, source: VideoSource) -> VideoClip:
        return VideoClip(source.path, None, torch.arange(float(FRAMES)), float(FRAMES))


@dataclass(frozen=True)
class FrameFeatures:
    """Reads a clip's frame features [T, D] from a feature store."""

    store: FeatureFiles

    def __call__(self, prompt: Prompt) -> Prompt:
        found = self.store.get(f"frames/{prompt.clip.uid}")
        if found is None:
            raise VideoError(f"no features of {prompt.clip.uid}: make them first")
        return replace(prompt, clip=replace(prompt.clip, features={"clip": found}))


@dataclass(frozen=True)
class QuestionLike:
    """The question's feature [D]: that of the frame at `index` of the clip, so it needs the frames' features first."""

    index: int

    def __call__(self, prompt: Prompt) -> Prompt:
        return replace(prompt, features={"question": prompt.clip.features["clip"][self.index]})


@dataclass(frozen=True)
class Raising:
    error: Exception

    def __call__(self, prompt: Prompt) -> Prompt:
        raise self.error


def records(*paths: str) -> list[Record]:
    target = Target(evidence=(Span(4.0, 4.5),))
    return [Record(f"{i:02d}", "needle", "camera", VideoSource(path), "when?", target) for i, path in enumerate(paths)]


@pytest.fixture
def enrich(tmp_path: Path) -> dict[str, Enrich | None]:
    """Features of one clip are stored: its frame 4 is like the question, no other is."""
    store = FeatureFiles(tmp_path / "features")
    features = one_hot((torch.arange(FRAMES) != 4).long(), WIDTH).float()
    store.put("frames/a.mp4", features)
    return {"frames": FrameFeatures(store), "nothing": None, "question": QuestionLike(4)}


def trained(train: PromptDataset, workers: int) -> Path:
    built = build(
        ["experiment=frame_toy", f"+policy.width={WIDTH}", "+policy.heads=2", "callbacks.progress=null", "iterations=1",
         "sampling.max_actions=1", "sampling.temperature=0.01", "sampling.group_size=2", "name=a"]
    )  # fmt: skip
    data = PromptDataModule(lambda: train, lambda: train, collate, 2, workers=workers, order=Order(shuffle=False))
    built.trainer.fit(built.module, data)
    return built.folder


@pytest.mark.parametrize("workers", [0, 1])
def test_the_policy_sees_what_was_added_and_what_cannot_be_enriched_is_named(
    workers: int, enrich: Mapping[str, Enrich]
):
    run = trained(PromptDataset(records("a.mp4", "b.mp4"), Camera(), enrich=enrich), workers)
    chosen = [(row["uid"], row["actions"]) for row in rows(run / "rollouts.jsonl")]
    assert chosen == [("00", [4]), ("00", [4])], "the one frame that is like the question"
    assert curve(run, "reward/hit") == [1.0] and curve(run, "data/failures") == [0.5]
    failed = {"iteration": 1, "uid": "01", "reason": "no features of b.mp4: make them first"}
    assert rows(run / "failures.jsonl") == [failed]


@pytest.mark.parametrize("error", [StoreError("disk full"), ZeroDivisionError(), ValueError("shapes differ")])
def test_any_other_error_stops_the_run(error: Exception, enrich: Mapping[str, Enrich]):
    dataset = PromptDataset(records("a.mp4", "a.mp4"), Camera(), enrich={**enrich, "mine": Raising(error)})
    with pytest.raises(type(error)):
        trained(dataset, 0)


def test_a_layout_is_made_of_the_enriched_prompt(enrich: Mapping[str, Enrich]):
    seen: list[Prompt] = []
    dataset = PromptDataset(records("a.mp4"), Camera(), processor=seen.append, enrich=enrich)  # type: ignore[arg-type]
    dataset[0]
    assert seen[0].features["question"].shape == (WIDTH,)


def test_a_part_of_a_mixture_keeps_its_own(enrich: Mapping[str, Enrich]):
    whole = mixed({"one": {"train": lambda: PromptDataset(records("a.mp4"), Camera(), enrich=enrich)}}, "train")
    prompt = whole[0]
    assert isinstance(prompt, Prompt) and "question" in prompt.features


def test_nothing_is_added_unless_it_is_asked_for():
    assert part(compose(["data=toy"]).enrich) == {}
