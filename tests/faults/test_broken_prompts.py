"""A batch of broken prompts stops no run, whichever batch it is and whichever rank draws it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.broken_toy import BrokenToy
from helpers.processes import run
from helpers.running import TOY, assert_same_run, curve, fit, rows

from kairos.core.types import Failure
from kairos.data.dataset import StandIns, collate

IN_ORDER = [
    "data.train._target_=helpers.broken_toy.BrokenToy", "curriculum=in_order", "iterations=6", "prompts=4",
    "callbacks.checkpoint.every=1", "callbacks.checkpoint.keep=all", "callbacks.validation.every=2",
    "optimizer.learning_rate=0.03",
]  # fmt: skip


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_resumed_before_a_batch_of_broken_prompts_is_the_unbroken_run(
    at: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The third and fourth iteration draw broken prompts alone."""
    monkeypatch.chdir(tmp_path)
    common = [*IN_ORDER, "+data.train.broken=[0,8,9,10,11,12,13,14,15]", f"workers={workers}"]
    whole = fit("name=whole", *common)
    shutil.copytree(whole.folder, whole.folder.parent / "part")
    for later in sorted((whole.folder.parent / "part" / "checkpoints").glob("*.ckpt"))[at:]:
        later.unlink()
    part = fit("name=part", *common, resume=True)
    assert_same_run(whole.folder, part.folder)
    assert curve(whole.folder, "data/failures") == [0.25, 0, 1, 1, 0.25, 0]
    assert curve(whole.folder, "learn/skipped") == [0, 0, 1, 1, 0, 0]
    named = [(row["iteration"], row["uid"]) for row in rows(part.folder / "failures.jsonl")]
    assert named == [(1, "broken/0"), *((index // 4 + 1, f"broken/{index}") for index in range(8, 16)), (5, "broken/0")]


def test_a_rank_whose_first_batch_is_broken_takes_part_at_weight_zero(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two ranks of two prompts answer as one process with four does, of which the same two are broken."""
    monkeypatch.chdir(tmp_path)
    alone = fit(*IN_ORDER, "+data.train.broken=[2,3]", "name=alone").folder
    two = ["prompts=2", "trainer.devices=2", "strategy=ddp", "name=two"]
    options = [*TOY, *IN_ORDER, "+data.train.broken=[2,3]", *two]
    done = run(["SCRIPT", *options], tmp_path, repository, repository / "tests")
    assert done.returncode == 0, done.stderr[-4000:]
    together = tmp_path / "runs" / "two"
    said = [[(row["uid"], row["text"]) for row in rows(folder / "rollouts.jsonl")] for folder in (alone, together)]
    assert said[0] == said[1]
    assert curve(together, "data/failures") == curve(alone, "data/failures") == [0.5, 0, 0, 0, 0.5, 0]


def test_the_stand_in_is_the_same_whatever_was_drawn_before():
    broken = BrokenToy(broken=[0, 1, 2, 3, 7])
    uids = set()
    for earlier in ([], [4, 5], [13]):
        stand_ins = StandIns(broken, seed=0)
        for index in earlier:
            stand_ins(collate([broken[index]]))
        filled = stand_ins(collate([broken[0], broken[1]]))
        uids |= {prompt.uid for prompt in filled.prompts}
        assert filled.weights_P.tolist() == [0.0, 0.0] and len(filled.failures) == 2
    assert len(uids) == 1


def test_a_stand_in_is_looked_for_once():
    broken = BrokenToy(broken=[0, 1])
    stand_ins, failed = StandIns(broken, seed=0), [Failure("x", "broken")]
    stand_ins(collate(failed))
    looked = len(broken.opened)
    stand_ins(collate(failed))
    assert len(broken.opened) == looked > 0


def test_data_without_a_good_prompt_stop_the_run_soon_and_say_why():
    broken = BrokenToy(broken=range(1000), prompts=1000)
    with pytest.raises(ValueError, match=r"1 failed.: x: broken; nor could any of 64 that"):
        StandIns(broken, seed=0)(collate([Failure("x", "broken")]))
    assert len(broken.opened) == 64
