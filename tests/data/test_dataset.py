"""From records to batches: real files are decoded, what fails is named, and its place is taken at weight 0."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from kairos.core.spans import Span
from kairos.core.types import Failure, Prompt, Target, VideoSource
from kairos.data.dataset import PromptDataset, StandIns, collate
from kairos.data.mini.world import MiniWorld
from kairos.data.records import Record
from kairos.data.templates.answer import AnswerOnly
from kairos.data.toy import ToyGrounding
from kairos.video.budget import PixelBudget
from kairos.video.errors import VideoError
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore

BUDGET = PixelBudget(factor=32, fps=2, max_frames=32, min_pixels=4096, max_pixels=4096)


@pytest.fixture
def loader(tmp_path: Path) -> ClipLoader:
    return ClipLoader(ClipStore(str(tmp_path / "store")), budget=BUDGET)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    return MiniWorld(str(tmp_path / "mini"), "val", clips=4).records()


def test_a_record_becomes_a_prompt_with_its_decoded_clip(records: list[Record], loader: ClipLoader) -> None:
    dataset = PromptDataset(records, loader, AnswerOnly())
    for index, record in enumerate(records):
        prompt = dataset[index]
        assert isinstance(prompt, Prompt)
        assert (prompt.uid, prompt.question, prompt.target) == (record.uid, record.question, record.target)
        assert prompt.clip.frames_TCHW is not None and prompt.clip.frames_TCHW.shape == (32, 3, 64, 64)
        assert prompt.clip.duration == record.duration


def test_a_reader_may_stand_for_its_records(tmp_path: Path, loader: ClipLoader) -> None:
    world = MiniWorld(str(tmp_path / "mini"), "val", clips=2)
    assert PromptDataset(world, loader).records == world.records()
    with pytest.raises(ValueError, match="no records to learn from: check the paths and the filters"):
        PromptDataset([], loader)


def test_what_cannot_be_used_is_a_failure_that_says_why(
    tmp_path: Path, records: list[Record], loader: ClipLoader
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    rows = [
        replace(records[0], video=VideoSource(str(broken))),
        replace(records[0], video=VideoSource(str(tmp_path / "absent.mp4"))),
        replace(records[0], target=Target(spans=(Span(5.0, 1.0),))),
        replace(records[0], target=Target(spans=(Span(float("nan"), 1.0),))),
        replace(records[0], target=Target(evidence=(Span(2.0, 2.0),))),
    ]
    reasons = []
    for item in map(PromptDataset(rows, loader).__getitem__, range(5)):
        assert isinstance(item, Failure) and item.uid == records[0].uid
        reasons.append(item.reason)
    assert "broken.mp4" in reasons[0] and "absent.mp4" in reasons[1]
    assert reasons[2:] == [
        f"span {span} has no length: correct the annotation" for span in ("5 to 1", "nan to 1", "2 to 2")
    ]


def test_a_fault_of_ours_is_a_crash_and_no_failure(records: list[Record], loader: ClipLoader) -> None:
    def processor(prompt: Prompt) -> None:
        raise KeyError(prompt.uid)

    with pytest.raises(KeyError):
        PromptDataset(records, loader, processor=processor)[0]  # type: ignore[arg-type]


def test_a_failed_prompt_is_stood_in_for_in_its_place_at_weight_zero() -> None:
    good, failed = ToyGrounding(), Failure("x", "broken")
    batch = collate([failed, good[0], good[1], failed])
    assert len(batch.prompts) == 4 and batch.failures == (failed, failed)
    assert batch.weights_P.tolist() == [0.0, 1.0, 1.0, 0.0]
    uids = [prompt.uid for prompt in batch.prompts]
    assert uids[1:3] == [good[0].uid, good[1].uid] and set(uids) == set(uids[1:3])


def test_a_batch_of_failures_is_filled_with_a_good_prompt_at_weight_zero() -> None:
    good, failed = ToyGrounding(), Failure("x", "broken")
    stand_ins = StandIns(good, seed=0)
    whole = collate([good[0], failed])
    assert stand_ins(whole) is whole
    batch = stand_ins(collate([failed, failed]))
    assert len(batch.prompts) == 2 and len({prompt.uid for prompt in batch.prompts}) == 1
    assert batch.weights_P.tolist() == [0.0, 0.0] and len(batch.failures) == 2


def test_a_batch_counts_the_clips_that_the_store_lacked_whatever_became_of_its_prompts(
    records: list[Record], loader: ClipLoader
) -> None:
    """Four clips, the second and third cached already; what is added to the prompts fails but for the last clip."""
    records = records[::3]  # three questions about each clip
    for record in records[1:3]:
        loader.load(record.video)

    def enrich(prompt: Prompt) -> Prompt:
        if prompt.uid != records[3].uid:
            raise VideoError(f"{prompt.uid}: no features")
        return prompt

    dataset = PromptDataset(records, loader, enrich={"mine": enrich})
    stand_in = StandIns(dataset, seed=0)
    last, first = (stand_in(collate([dataset[index] for index in some])) for some in ([3], [0, 1, 2]))
    assert not last.failures and len(first.failures) == 3
    assert last.counts == {"misses": 1} and first.counts == {"misses": 1}


def test_worker_processes_give_what_the_main_process_gives(records: list[Record], loader: ClipLoader) -> None:
    dataset = PromptDataset(records[:4], loader, AnswerOnly())
    pickle.loads(pickle.dumps(dataset))
    here, there = (
        list(
            DataLoader(dataset, batch_size=2, collate_fn=collate, num_workers=workers, multiprocessing_context=context)
        )
        for workers, context in ((0, None), (1, "forkserver"))
    )
    for a, b in zip(here, there, strict=True):
        assert [p.uid for p in a.prompts] == [p.uid for p in b.prompts]
        for p, q in zip(a.prompts, b.prompts, strict=True):
            assert torch.equal(p.clip.frames_TCHW, q.clip.frames_TCHW)
