"""Every clip knows where it can be decoded again: out of the store or not, through workers, in part."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from helpers.running import TOY
from lightning.pytorch.callbacks import Callback

from kairos.compose import build
from kairos.core.types import Prompt, PromptBatch, VideoClip, VideoSource
from kairos.curriculum.order import Order
from kairos.data.dataset import PromptDataset, collate
from kairos.data.mini.world import MiniWorld
from kairos.data.records import Record
from kairos.data.templates.answer import AnswerOnly
from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.grpo import GRPOModule
from kairos.video.budget import PixelBudget
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore
from kairos.video.store.mapped import StoredClip

BUDGET = PixelBudget(factor=32, fps=2, max_frames=32, min_pixels=4096, max_pixels=4096)


@pytest.fixture
def loader(tmp_path: Path) -> ClipLoader:
    return ClipLoader(ClipStore(str(tmp_path / "store")), budget=BUDGET)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Two videos, of the second a part."""
    found = MiniWorld(str(tmp_path / "mini"), "val", clips=2).records()[::3]
    return [found[0], replace(found[1], video=replace(found[1].video, start=2.0, end=9.0))]


class Keep(Callback):
    """Keeps what arrives at the trainer."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        self.prompts += batch.prompts


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("on_miss", ["fill", "off"])
def test_a_clip_that_reached_the_trainer_can_be_decoded_again(
    workers: int, on_miss: Literal["fill", "off"], records: list[Record], loader: ClipLoader
) -> None:
    """The first iteration fills the store, the second reads it."""
    built, keep = build([*TOY, "name=a", "iterations=2", "callbacks.validation.every=0"]), Keep()
    dataset = PromptDataset(records, replace(loader, on_miss=on_miss), AnswerOnly())
    data = PromptDataModule(lambda: dataset, lambda: dataset, collate, 2, workers=workers, order=Order(shuffle=False))
    getattr(built.trainer, "callbacks").append(keep)  # noqa: B009 - Lightning declares it nowhere
    built.trainer.fit(built.module, data)
    assert [prompt.clip.source for prompt in keep.prompts] == 2 * [record.video for record in records]
    for prompt in keep.prompts:
        assert prompt.clip.source is not None and prompt.clip.frames_TCHW is not None
        again, _ = loader.decode(prompt.clip.source)
        assert again.frames_TCHW is not None and torch.equal(again.frames_TCHW, prompt.clip.frames_TCHW)
        assert torch.equal(again.seconds_T, prompt.clip.seconds_T)


def test_a_mapped_clip_keeps_its_source_when_pickled_and_in_part(records: list[Record], loader: ClipLoader) -> None:
    whole = loader.load(records[1].video)
    part = whole.take(torch.tensor([4, 2]))
    half = replace(whole, frames_TCHW=whole.frames_TCHW[::2], seconds_T=whole.seconds_T[::2])  # type: ignore[index]
    for clip, kind in ((whole, StoredClip), (part, VideoClip), (half, StoredClip)):
        carried = pickle.loads(pickle.dumps(clip))
        assert type(carried) is kind and carried.source == clip.source == records[1].video


def test_one_stored_file_gives_each_of_its_sources_back(
    tmp_path: Path, records: list[Record], loader: ClipLoader
) -> None:
    """The file of the store says nothing of it that matters, as in stores written before clips had a source."""
    copy = VideoSource(shutil.copy(records[0].video.path, tmp_path / "copy.mp4"))
    one, other = loader.load(records[0].video), loader.load(copy)
    assert isinstance(one, StoredClip) and isinstance(other, StoredClip) and one.path == other.path
    assert (one.source, other.source) == (records[0].video, copy)


def test_a_clip_without_a_video_has_none() -> None:
    assert VideoClip("x", None, torch.arange(2.0), 2.0).source is None
