"""From data sets to the loop: what fails is named and stands in for nothing, what stops is said, misses are counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from helpers.running import TOY, curve, fit, metrics, rows

from kairos.compose import build
from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, VideoClip, VideoSource
from kairos.curriculum.order import Order
from kairos.data.dataset import PromptDataset, collate
from kairos.data.records import Record
from kairos.data.templates.answer import AnswerOnly
from kairos.train.callbacks.validation import predict
from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.feed.parcel import receive, send
from kairos.video.errors import DecoderError, StoreError, VideoError

BROKEN, FATAL, FULL, BUG = "broken.mp4", "fatal.mp4", "full.mp4", "bug.mp4"


@dataclass(frozen=True)
class Camera:
    """A loader whose clips have no pixels; what it does with a file depends on the name alone."""

    def load(self, source: VideoSource) -> VideoClip:
        if source.path == BROKEN:
            raise VideoError("broken.mp4: no video stream; re-encode the file")
        if source.path == FATAL:
            raise DecoderError("decord is not installed; pip install decord")
        if source.path == FULL:
            raise StoreError("no space left on device")
        if source.path == BUG:
            raise ZeroDivisionError
        return VideoClip(source.path, None, torch.arange(8.0), 8.0)


def dataset(*paths: str) -> PromptDataset:
    records = [
        Record(f"{i:02d}", "grounding", "camera", VideoSource(path), "rain", Target(spans=(Span(1.0, 2.0),)))
        for i, path in enumerate(paths)
    ]
    return PromptDataset(records, Camera(), AnswerOnly())


def trained(train: PromptDataset, workers: int, *overrides: str) -> Path:
    built = build([*TOY, "name=a", *overrides])
    data = PromptDataModule(lambda: train, lambda: train, collate, 4, workers=workers, order=Order(shuffle=False))
    built.trainer.fit(built.module, data)
    return built.folder


@pytest.mark.parametrize("workers", [0, 2])
def test_a_prompt_that_fails_is_counted_and_named(workers: int):
    paths = ["a.mp4", BROKEN, "c.mp4", "d.mp4", BROKEN, BROKEN, BROKEN, BROKEN]
    folder = trained(dataset(*paths), workers, "iterations=3", "callbacks.validation.every=0")
    assert curve(folder, "data/failures") == [0.25, 1.0, 0.25]
    assert curve(folder, "learn/skipped") == [0.0, 1.0, 0.0], "the second batch has no prompt left"
    failures = rows(folder / "failures.jsonl")
    assert [row["uid"] for row in failures] == ["01", "04", "05", "06", "07", "01"]
    assert [row["iteration"] for row in failures] == [1, 2, 2, 2, 2, 3]
    assert failures[0]["reason"] == "broken.mp4: no video stream; re-encode the file"
    assert {row["uid"] for row in rows(folder / "rollouts.jsonl")} == {"00", "02", "03"}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        (FATAL, DecoderError, "decord is not installed; pip install decord"),
        (FULL, StoreError, "no space left on device"),
    ],
)
def test_what_would_fail_every_prompt_stops_the_run(workers: int, path: str, kind: type[ValueError], message: str):
    with pytest.raises(kind) as caught:
        trained(dataset("a.mp4", "b.mp4", "c.mp4", path), workers, "iterations=1")
    assert type(caught.value) is kind
    assert str(caught.value) == message, "without the worker's stack trace"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_is_a_crash(workers: int):
    with pytest.raises(ZeroDivisionError):
        trained(dataset("a.mp4", "b.mp4", "c.mp4", BUG), workers, "iterations=1")


def test_data_without_any_good_prompt_stop_and_name_them():
    with pytest.raises(ValueError, match=r"no prompt of a batch could be used \(4 failed\): 00: broken.mp4"):
        trained(dataset(*[BROKEN] * 4), 0, "iterations=1")


def test_validation_counts_a_failed_prompt_as_wrong_and_knows_its_task():
    built = build([*TOY, "name=a"])
    built.module.configure_model()
    data = PromptDataModule(lambda: dataset("a"), lambda: dataset(BROKEN, BROKEN, "c.mp4", BROKEN), collate, 2)
    predictions = predict(built.module, data, "val", None)
    assert [p.uid for p in predictions] == ["00", "01", "02", "03"]
    assert [p.answered for p in predictions] == [False, False, True, False]
    assert {p.task for p in predictions} == {"grounding"}
    assert predictions[0].reason == "failed: broken.mp4: no video stream; re-encode the file"
    assert [p.uid for p in predict(built.module, data, "val", 3, size=64)] == ["00", "01", "02"]


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_that_the_store_lacked_are_counted(workers: int, workplace: Path):
    """Two clips with three questions each, of which each clip is decoded once (or, by two workers at a time, twice)."""
    run = fit(
        "name=a", "data=mini", "policy=toy", "frames=mini", "template=answer", "data.clips=2", "data.val_clips=1",
        "prompts=2", "iterations=6", f"workers={workers}", "callbacks.validation.every=0", "sampling.group_size=2",
    )  # fmt: skip
    misses = curve(run.folder, "throughput/misses")
    assert 2 <= sum(misses) <= 4 and sum(misses[3:]) == 0
    assert len(list((workplace / ".cache" / "clips").rglob("*.safetensors"))) == 2
    again = fit("name=b", "data=mini", "frames=mini", "data.clips=2", "prompts=2", "iterations=1")
    assert curve(again.folder, "throughput/misses") == [0.0]


def test_a_batch_arrives_as_it_was_sent():
    data = dataset("a.mp4", BROKEN, "c.mp4")
    batch = collate([data[index] for index in range(3)])
    arrived = receive(send(batch))
    assert torch.equal(arrived.weights_P, batch.weights_P) and arrived.failures == batch.failures
    assert arrived.counts == batch.counts == {"misses": 0}
    for one, other in zip(batch.prompts, arrived.prompts, strict=True):
        assert isinstance(other, Prompt)
        assert (one.uid, one.target, one.question) == (other.uid, other.target, other.question)
        assert torch.equal(one.clip.seconds_T, other.clip.seconds_T)


def test_workers_change_nothing():
    options = ["iterations=5", "sampling.group_size=2"]
    here, there = fit("name=here", *options), fit("name=there", "workers=2", *options)
    assert (here.folder / "rollouts.jsonl").read_bytes() == (there.folder / "rollouts.jsonl").read_bytes()
    assert metrics(here.folder) == metrics(there.folder)
