"""An update that is not finite is skipped and counted, its batch is kept, and a run in which that goes on stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.running import curve, fit, rows, weights
from safetensors import safe_open

from kairos.train.callbacks.checkpoint import newest

SMALL = ["callbacks.validation=null", "callbacks.export=null", "callbacks.checkpoint.every=1", "optimizer=adamw"]
POISON = "+objective.terms.poison={_target_: fault_kinds.poison.Poison, updates: "


@pytest.fixture(autouse=True)
def poison(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark's term of the loss can be named."""
    monkeypatch.syspath_prepend(repository / "benchmarks")


@pytest.mark.parametrize("factor", ["", ", factor: inf"])
def test_a_skipped_update_leaves_weights_and_moments_and_is_kept(
    factor: str, workplace: Path, capfd: pytest.CaptureFixture[str]
):
    run = fit(*SMALL, "name=a", "iterations=3", "callbacks.checkpoint.keep=all", f"{POISON}[2]{factor}}}")
    states = [torch.load(path, weights_only=True) for path in sorted((run.folder / "checkpoints").glob("*.ckpt"))]
    for part in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(states[1][part], states[0][part], atol=0, rtol=0)
    assert any(not torch.equal(value, states[1]["state_dict"][name]) for name, value in states[2]["state_dict"].items())
    assert curve(run.folder, "learn/nonfinite") == [0.0, 1.0, 0.0]
    assert len(curve(run.folder, "learn/gradient_norm")) == 2
    assert "iteration 2: the loss or its gradient was not finite" in capfd.readouterr().err
    (kept,) = (run.folder / "nonfinite").iterdir()
    with safe_open(kept, "pt") as file:
        uids = json.loads(file.metadata()["uids"])
        assert file.get_tensor("actions_BA").shape == file.get_tensor("mask_BA").shape
        owners = [uids[place] for place in file.get_tensor("group_of_B").tolist()]
    assert owners == [row["uid"] for row in rows(run.folder / "rollouts.jsonl") if row["iteration"] == 2]


def test_a_run_stops_after_some_in_a_row_and_resumes_from_the_last_good_checkpoint(workplace: Path):
    poisoned = f"{POISON}[2, 4, 5, 6, 7]}}"
    with pytest.raises(ValueError, match=r"iteration 6: .*for 3 iterations in a row.*learning_rate.*runs/a/nonfinite"):
        fit(*SMALL, "name=a", "iterations=9", poisoned)
    last = newest(workplace / "runs" / "a" / "checkpoints")
    assert last is not None and last.name == "iteration-000005.ckpt"
    assert all(torch.isfinite(value).all() for value in weights(last).values())
    assert len(list((workplace / "runs/a/nonfinite").iterdir())) == 4
    with pytest.raises(ValueError, match=r"iteration 6: .*for 3 iterations"):
        fit(*SMALL, "name=a", "iterations=9", f"{POISON}[1]}}", resume=True)  # it remembers the two before


def test_every_update_of_an_iteration_is_judged_by_itself(workplace: Path):
    run = fit(*SMALL, "name=a", "iterations=2", "updates.epochs=2", f"{POISON}[1]}}")
    assert curve(run.folder, "learn/nonfinite") == [0.5, 0.0]
    assert run.trainer.global_step == 3


def test_a_limit_below_one_is_refused():
    from kairos.train.callbacks.nonfinite import NonFinite

    with pytest.raises(ValueError, match=r"stop_after must be >= 1, got 0"):
        NonFinite("a", 0)
