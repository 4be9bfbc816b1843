"""scripts/select_prompts.py: rewards as in training, once; killed and repeated it writes the same file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from helpers.running import curve, fit, rows
from helpers.scripting import Script
from PIL import Image

from kairos.curriculum.rewards import PromptRewards, read_rewards
from kairos.curriculum.selections import read_selection
from kairos.evaluation.prompt_rewards import done

KILLER = '''
"""A reward that kills its process at its 7th prompt, once."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch

CALLS = []


@dataclass(frozen=True)
class Killer:
    def __call__(self, group):
        CALLS.append(group.prompt.uid)
        if len(CALLS) == 7 and Path("marker").exists():
            Path("marker").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(len(group))
'''


TOY = ["policy=toy", "data=toy", "template=answer", "trainer=cpu", "repeats=6", "size=5"]
Command = Callable[..., int]


@pytest.fixture
def command(script: Script) -> Command:
    """The script on the toy."""
    return partial(script, "select_prompts", *TOY)


def test_killed_and_repeated_it_writes_the_same_file(
    command: Command,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    (tmp_path / "selection_killer.py").write_text(KILLER)
    monkeypatch.syspath_prepend(tmp_path)
    weighted = "kairos.credit.rewards.rubric.Weighted"
    killer = f"+reward.terms.killer={{_target_: {weighted}, term: {{_target_: selection_killer.Killer}}}}"
    assert command("name=whole", killer, "selector=variance") == 0
    expected = tmp_path / "runs" / "selections" / "whole"
    assert "16 prompts measured, 0 failed" in capfd.readouterr().out
    (tmp_path / "marker").touch()
    killed = subprocess.run(
        [sys.executable, repository / "scripts" / "select_prompts.py", *TOY, "name=cut", killer, "selector=variance"],
        env=os.environ | {"PYTHONPATH": f"{repository / 'src'}:{tmp_path}", "OMP_NUM_THREADS": "1"},
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    cut = tmp_path / "runs" / "selections" / "cut"
    assert len(read_rewards(cut / "rewards.jsonl")) == 5, "the first batch, flushed"
    with (cut / "rewards.jsonl").open("a") as file:
        file.write('{"uid": "toy/tr')
    assert command("name=cut", killer, "selector=variance") == 0
    for name in ("rewards.jsonl", "variance.json"):
        assert (cut / name).read_bytes() == (expected / name).read_bytes()
    assert "curriculum=selection curriculum.selection=runs/selections/cut/variance.json" in capfd.readouterr().out
    with Image.open(cut / "variance.png") as picture:
        assert picture.width > 600


def test_another_selector_measures_nothing_and_a_run_trains_on_what_it_chose(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    cut = tmp_path / "runs" / "selections" / "cut"
    assert command("name=cut", "selector=mixed") == 0
    before = (cut / "rewards.jsonl").read_text()
    measured = before.replace("toy/train-0/0003", "toy/train-0/0003x")
    (cut / "rewards.jsonl").write_text(measured)
    assert command("name=cut", "selector=random", "selector.count=16") == 0
    assert "toy/train-0/0003x" in read_selection(cut / "random.json").uids, "the file was read, not made again"
    (cut / "rewards.jsonl").write_text(before)
    assert command("name=cut", "selector=gaussian", "selector.count=6") == 0
    chosen = read_selection(cut / "gaussian.json").uids
    assert len(chosen) == 6

    assert command("name=cut", "repeats=3") == 1
    said = capfd.readouterr().err
    assert "was begun with another configuration" in said and "repeats: 6 -> 3" in said and "Traceback" not in said

    options = ["name=a", "prompts=3", "iterations=4", "curriculum=selection"]
    run = fit(*options, f"curriculum.selection={cut / 'gaussian.json'}")
    drawn = [row["uid"] for row in rows(run.folder / "rollouts.jsonl") if row["row"] == 0]
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == sorted(chosen)
    assert len(curve(run.folder, "reward/total")) == 4
    with pytest.raises(ValueError, match="the run was begun with other prompts"):
        fit(*options[:2], "iterations=5", options[3], f"curriculum.selection={cut / 'mixed.json'}", resume=True)


def test_rewards_are_those_of_training(command: Command, tmp_path: Path):
    """Same policy, template, sampling and reward: the means over many rollouts agree; terms and spans are there."""
    assert command("name=a", "repeats=200", "selector=random", "selector.count=3") == 0
    measured = read_rewards(tmp_path / "runs" / "selections" / "a" / "rewards.jsonl")
    assert len(measured) == 16 and all(len(row.rewards) == 200 for row in measured)
    run = fit("name=b", "prompts=16", "iterations=1", "sampling.group_size=200", "optimizer.learning_rate=0")
    trained = curve(run.folder, "reward/total")[0]
    mean = sum(row.mean(["total"]) for row in measured) / 16
    assert mean == pytest.approx(trained, abs=0.05)
    assert measured[0].terms.keys() == {"iou", "format"}
    assert measured[0].length is not None and measured[0].duration == 16.0


def test_a_failed_prompt_is_a_row_that_says_why_and_whole_batches_are_kept(tmp_path: Path):
    path = tmp_path / "rewards.jsonl"
    assert done(path, 4, 10) == 0
    good = json.dumps({"uid": "a", "task": "t", "source": "s", "rewards": [1.0], "terms": {}}) + "\n"
    path.write_text(good + '{"uid": "b", "failed": "no video"}\n' + good * 4 + '{"uid":')
    assert done(path, 4, 10) == 4
    assert len(path.read_text().splitlines()) == 4
    assert read_rewards(path) == [PromptRewards("a", "t", "s", (1.0,), {})] * 3
    assert done(path, 3, 4) == 4, "all there are, the last batch being short"
