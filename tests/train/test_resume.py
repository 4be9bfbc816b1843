"""A run that was cut off goes on as if nothing had happened: bit for bit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.running import assert_same_run, curve, fit, metrics, rows

from kairos.runs.row_files import RowFile

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
    marker: str
    at: int

    def __call__(self, group):
        CALLS.append(group.prompt.uid)
        if len(CALLS) == self.at and Path(self.marker).exists():
            Path(self.marker).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.tensor([float(len(row.text) % 7) for row in group.rollouts])
'''

OPTION = """
defaults: [iou_format]
terms:
  killer:
    _target_: kairos.credit.rewards.rubric.Weighted
    term: {_target_: killer.Killer, marker: marker, at: 22}
    weight: 0.01
"""


def test_kill_9_inside_an_iteration_and_the_same_command_again(repository: Path, tmp_path: Path):
    conf = tmp_path / "mine" / "conf" / "reward"
    conf.mkdir(parents=True)
    (conf / "killer.yaml").write_text(OPTION)
    (tmp_path / "mine" / "killer.py").write_text(KILLER)
    environment = os.environ | {
        "PYTHONPATH": f"{repository / 'src'}:{tmp_path / 'mine'}", "OMP_NUM_THREADS": "1"
    }  # fmt: skip

    def train(name: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable, str(repository / "scripts" / "train.py"), "--config-dir", str(tmp_path / "mine" / "conf"),
            "policy=toy", "data=toy", "template=answer", "reward=killer", "trainer=cpu", "iterations=8", "prompts=4",
            "updates.minibatches=2", "callbacks.checkpoint.every=2", "callbacks.validation.every=3", f"name={name}",
        ]  # fmt: skip
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    unbroken = train("unbroken")
    assert unbroken.returncode == 0, unbroken.stderr
    (tmp_path / "marker").touch()
    killed = train("broken")
    assert killed.returncode == -9, killed.stderr
    broken = tmp_path / "runs" / "broken"
    assert [row["iteration"] for row in rows(broken / "metrics.jsonl")] == [1, 2, 3, 4, 5]  # killed inside the 6th
    resumed = train("broken")
    assert resumed.returncode == 0, resumed.stderr
    assert "from iteration-000004.ckpt" in resumed.stdout
    assert_same_run(tmp_path / "runs" / "unbroken", broken)
    assert curve(broken, "val/miou"), "validation belongs to what is compared"
    assert not list(tmp_path.glob("*.log"))


@pytest.mark.parametrize(
    "options",
    [
        ["workers=0"],
        ["workers=2"],
        ["updates.epochs=2", "updates.minibatches=2"],
        ["objective=surrogate_kl", "optimizer=adamw", "optimizer.learning_rate=0.03", "optimizer.schedule=cosine"],
        ["injection=ground_truth", "workers=2", "updates.minibatches=4", "objective=surrogate_kl"],
    ],
    ids=" ".join,
)
def test_a_run_resumed_at_any_checkpoint_is_the_unbroken_run(options: list[str]):
    """16 prompts of 4 an iteration: an epoch ends after the 4th iteration."""
    common = [
        "objective=surrogate", "method=timezero", "template=answer", "optimizer=adamw", "optimizer.learning_rate=0.03",
        "iterations=7", "callbacks.checkpoint.every=1", "callbacks.checkpoint.keep=all", "callbacks.validation.every=2",
        *options,
    ]  # fmt: skip
    whole = fit("name=whole", *common)
    for position in (1, 4, 5):
        name = f"part{position}"
        shutil.copytree(whole.folder, whole.folder.parent / name)
        later = sorted((whole.folder.parent / name / "checkpoints").glob("*.ckpt"))[position:]
        for checkpoint in later:  # as if it had died before it wrote them; the logs are longer than it remembers
            checkpoint.unlink()
        torch.manual_seed(99)
        part = fit(f"name={name}", *common, resume=True)
        assert part.module.iteration == 7
        assert_same_run(whole.folder, part.folder)


def test_a_half_written_row_is_cut_back():
    run = fit("name=a", "iterations=3", "callbacks.checkpoint.every=2")
    expected = metrics(run.folder)
    (run.folder / "checkpoints" / "iteration-000003.ckpt").rename(run.folder / "checkpoints" / "gone")
    again = fit("name=b", "iterations=3", "callbacks.checkpoint.every=2", "callbacks.checkpoint.keep=all")
    with (again.folder / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 4, "reward/to')
    (again.folder / "checkpoints" / "iteration-000003.ckpt").unlink()
    fit("name=b", "iterations=3", resume=True)
    assert metrics(again.folder) == expected


def test_a_finished_run_goes_on_for_longer():
    long = fit("name=long", "iterations=6")
    fit("name=short", "iterations=3")
    short = fit("name=short", "iterations=6", resume=True)
    assert_same_run(long.folder, short.folder)


def test_a_run_cut_off_after_its_last_checkpoint_still_evaluates():
    options = ["name=a", "iterations=2", "evaluate=both"]
    run = fit(*options)
    after = (run.folder / "predictions" / "after.jsonl").read_bytes()
    (run.folder / "predictions" / "after.jsonl").unlink()
    fit(*options, resume=True)
    assert (run.folder / "predictions" / "after.jsonl").read_bytes() == after
    assert [row["iteration"] for row in rows(run.folder / "metrics.jsonl")] == [1, 2]


def test_the_reference_of_a_resumed_run_is_the_policy_before_any_update():
    options = ["name=a", "objective=surrogate_kl", "optimizer.learning_rate=0.05", "iterations=4"]
    run = fit(*options)
    saved = torch.load(run.folder / "checkpoints" / "iteration-000004.ckpt", weights_only=True)
    assert not [name for name in saved["state_dict"] if name.startswith("reference")]
    again = fit(*options[:-1], "iterations=5", resume=True)
    start = fit("name=b", "iterations=1", "optimizer.learning_rate=0").module.policy.state_dict()
    held = again.module.references["start"].state_dict()  # type: ignore[attr-defined]
    assert held.keys() == start.keys() and all(torch.equal(held[name], start[name]) for name in held)
    assert not all(torch.equal(held[name], value) for name, value in again.module.policy.state_dict().items())


def test_what_a_rollout_says_survives_a_cut(tmp_path: Path):
    """Line separators of Unicode are no ends of rows; a broken row in the middle is named, not dropped."""
    path = tmp_path / "rollouts.jsonl"
    said = [{"iteration": number, "text": text} for number, text in enumerate(["a\u2028b", "c\u0085d", "e"], start=1)]
    RowFile(path).append(said)
    RowFile(path).cut_back(2, None)
    assert rows(path) == said[:2]
    path.write_text('{"iteration": 1}\n{"iterat\n{"iteration": 2}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"rollouts\.jsonl, line 2 is not JSON in UTF-8 .* Restore the file"):
        RowFile(path).cut_back(2, None)
