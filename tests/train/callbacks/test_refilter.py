"""After every epoch the prompts are chosen anew, and a run that is killed in between goes on bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
import torch
from helpers.running import TOY, assert_same_run, curve, fit, rows

from kairos.compose import Experiment
from kairos.curriculum.selections import Selection, read_selection, write_selection
from kairos.train.callbacks.checkpoint import newest

KILLER = '''
"""A reward that kills its process once, in the middle of an iteration."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch

CALLS = []


@dataclass(frozen=True)
class Killer:
    at: int = 30

    def __call__(self, group):
        CALLS.append(group.prompt.uid)
        if len(CALLS) == self.at and Path("marker").exists():
            Path("marker").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.tensor([float(len(row.text) % 7) for row in group.rollouts])
'''

# Of 16 prompts of 2 a step the toy answers some too well: later epochs are shorter.
COMMON = [
    "curriculum=refilter", "prompts=2", "objective=surrogate", "optimizer=adamw", "optimizer.learning_rate=0.03",
    "callbacks.checkpoint.every=1", "callbacks.checkpoint.keep=all", "callbacks.validation.every=0",
    "curriculum.refilter.selector.low=0.05", "curriculum.refilter.selector.high=0.25", "sampling.group_size=4",
]  # fmt: skip


def drawn(run: Path, first: int, last: int) -> list[str]:
    """The prompts of the iterations from `first` to `last`, in the order of the log."""
    return [
        str(row["uid"])
        for row in rows(run / "rollouts.jsonl")
        if row["row"] == 0 and first <= int(row["iteration"]) <= last  # type: ignore[call-overload]
    ]


def starts(run: Path) -> list[int]:
    """The first iteration of every epoch, counted from 1."""
    return [int(row["iteration"]) for row in rows(run / "metrics.jsonl") if "curriculum/epoch" in row]  # type: ignore[call-overload]


def test_an_epoch_draws_what_the_one_before_left_over():
    run = fit("name=a", *COMMON, "iterations=14")
    assert sorted(path.name for path in (run.folder / "selections").iterdir()) == ["1.json", "2.json"]
    begins = starts(run.folder)
    assert begins[:2] == [1, 9]
    chosen = read_selection(run.folder / "selections" / "1.json").uids
    means: dict[str, list[float]] = {}
    for row in rows(run.folder / "rollouts.jsonl"):
        if int(row["iteration"]) <= 8:  # type: ignore[call-overload]
            means.setdefault(str(row["uid"]), []).append(row["terms"]["iou"])  # type: ignore[index]
    assert len(means) == 16
    assert set(chosen) == {uid for uid, values in means.items() if 0.05 < fmean(values) <= 0.25}
    assert 2 < len(chosen) < 14, "something is kept, something dropped"
    assert set(drawn(run.folder, 9, begins[2] - 1)) <= set(chosen)
    assert len(drawn(run.folder, 9, begins[2] - 1)) == len(chosen) // 2 * 2
    assert curve(run.folder, "curriculum/prompts")[:2] == [16.0, len(chosen)]
    assert len(curve(run.folder, "learn/rate")) == 14, "the optimiser goes on"


def test_a_pass_asks_every_prompt_of_the_run_greedily():
    """A learning rate of 0: every epoch's pass says the same, and prompts that were dropped are asked again."""
    options = [*COMMON, "curriculum.refilter.source=pass", "optimizer.learning_rate=0"]
    run = fit("name=a", *options, "curriculum.refilter.selector.high=1.0", "iterations=14")
    one, two = (read_selection(run.folder / "selections" / f"{epoch}.json").uids for epoch in (1, 2))
    assert one == two and 2 <= len(one) < 16
    greedy = fit("name=b", "sampling.temperature=0", "optimizer.learning_rate=0", "prompts=16", "iterations=1",
                 "advantage=one")  # fmt: skip
    iou = {str(row["uid"]): row["terms"]["iou"] for row in rows(greedy.folder / "rollouts.jsonl")}  # type: ignore[index]
    assert set(one) == {uid for uid, value in iou.items() if 0.05 < value <= 1.0}  # type: ignore[operator]


@pytest.mark.parametrize("options", [[], ["workers=2"], ["curriculum.refilter.source=pass"]], ids=" ".join)
def test_a_run_resumed_at_any_checkpoint_is_the_unbroken_run(options: list[str]):
    """Within the first epoch, at its end, in the middle of the second."""
    common = [*COMMON, "iterations=12", *options]
    whole = fit("name=whole", *common)
    for position in (3, 8, 10):
        name = f"part{position}"
        part = whole.folder.parent / name
        shutil.copytree(whole.folder, part)
        for checkpoint in sorted((part / "checkpoints").glob("*.ckpt"))[position:]:
            checkpoint.unlink()
        torch.manual_seed(99)
        fit(f"name={name}", *common, resume=True)
        assert_same_run(whole.folder, part)
        for file in (whole.folder / "selections").iterdir():
            assert file.read_bytes() == (part / "selections" / file.name).read_bytes()


def test_kill_9_in_the_middle_of_a_refiltered_epoch(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "epoch_killer.py").write_text(KILLER)
    monkeypatch.syspath_prepend(tmp_path)
    killer = (
        "+reward.terms.killer={_target_: kairos.credit.rewards.rubric.Weighted, "
        "term: {_target_: epoch_killer.Killer, at: 21}, weight: 0.01}"
    )
    options = [*COMMON[:5], *COMMON[7:], "callbacks.checkpoint.every=3", "iterations=13", killer]
    unbroken = fit("name=unbroken", *options)
    (tmp_path / "marker").touch()
    killed = subprocess.run(
        [sys.executable, repository / "scripts" / "train.py", *TOY, *options, "name=broken"],
        env=os.environ | {"PYTHONPATH": f"{repository / 'src'}:{tmp_path}", "OMP_NUM_THREADS": "1"},
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    broken = unbroken.folder.parent / "broken"
    assert len(rows(broken / "metrics.jsonl")) == 10 and starts(broken) == [1, 9], "inside the second epoch"
    assert newest(broken / "checkpoints") == broken / "checkpoints" / "iteration-000009.ckpt"
    fit("name=broken", *options, resume=True)
    assert_same_run(unbroken.folder, broken)


@pytest.fixture
def begun() -> Experiment:
    """A run that stopped in its second epoch."""
    return fit("name=a", *COMMON, "iterations=10")


def test_another_selection_than_the_checkpoints_is_refused(begun: Experiment):
    path = begun.folder / "selections" / "1.json"
    saved = torch.load(begun.folder / "checkpoints" / "iteration-000010.ckpt", weights_only=True)
    chosen = read_selection(path)
    assert saved["callbacks"]["Refilter"] == {
        "epoch": 1, "first": 8, "file": "selections/1.json", "hash": chosen.hash
    }  # fmt: skip
    write_selection(path, Selection(chosen.uids[:-1]))
    with pytest.raises(ValueError, match=r"1\.json is not the selection of this run's checkpoint \(hash"):
        fit("name=a", *COMMON, "iterations=11", resume=True)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "uids": content["uids"][:-1]}))
    with pytest.raises(ValueError, match="was changed after it was written"):
        fit("name=a", *COMMON, "iterations=11", resume=True)
    path.unlink()
    with pytest.raises(ValueError, match=r"1\.json, the prompts of epoch 1, is missing"):
        fit("name=a", *COMMON, "iterations=11", resume=True)


def test_too_few_left_over_go_over_the_same_prompts_again(capfd: pytest.CaptureFixture[str]):
    options = ["curriculum.refilter.selector.low=0.98", "curriculum.refilter.selector.high=0.99"]
    run = fit("name=a", *COMMON, *options, "iterations=10")
    assert "epoch 1: only 0 of 16 prompts would be kept" in capfd.readouterr().out
    assert len(read_selection(run.folder / "selections" / "1.json").uids) == 16


def test_a_subset_comes_before_the_first_epoch():
    run = fit("name=a", *COMMON, "only_first=8", "iterations=6")
    assert starts(run.folder)[:2] == [1, 5]
    assert set(drawn(run.folder, 5, 6)) <= set(drawn(run.folder, 1, 4))


def test_what_cannot_work_is_said():
    with pytest.raises(ValueError, match=r"reads every iteration's rollouts: set callbacks\.log\.rollouts_every=1"):
        fit("name=a", *COMMON, "callbacks.log.rollouts_every=2", "iterations=1")
    with pytest.raises(ValueError, match=r"callbacks\.refilter must not be null"):
        fit("name=a", *COMMON, "callbacks.refilter=null", "iterations=1")
    with pytest.raises(Exception, match=r"curriculum.refilter.source must be one of rollouts, pass, got 'x'"):
        fit("name=a", *COMMON, "curriculum.refilter.source=x", "iterations=1")
