"""Which checkpoints are kept, when a run stops early, and what a run says to the user."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import TOY, curve, fit, rows

from kairos.compose import build
from kairos.train.callbacks.checkpoint import newest


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").glob("*.ckpt"))


def test_keep_last_keeps_two():
    run = fit("name=a", "iterations=5", "callbacks.checkpoint.every=2")
    assert names(run.folder) == ["iteration-000004.ckpt", "iteration-000005.ckpt"]


def test_keep_all_keeps_every_one():
    run = fit("name=a", "iterations=5", "callbacks.checkpoint.every=2", "callbacks.checkpoint.keep=all")
    assert names(run.folder) == ["iteration-000002.ckpt", "iteration-000004.ckpt", "iteration-000005.ckpt"]


def test_keep_best_keeps_the_best_and_the_last():
    run = fit(
        "name=a", "iterations=12", "callbacks.checkpoint.keep=best", "callbacks.validation.every=2",
        "optimizer.learning_rate=0.1", "method=timezero", "template=answer",
    )  # fmt: skip
    assert names(run.folder) == ["best.ckpt", "iteration-000010.ckpt", "iteration-000012.ckpt"]
    scored = {int(row["iteration"]): row["val/miou"] for row in rows(run.folder / "metrics.jsonl") if "val/miou" in row}  # type: ignore[call-overload]
    best = max(scored, key=lambda iteration: (scored[iteration], -iteration))  # type: ignore[arg-type, return-value]
    assert torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)["iteration"] == best


def test_weights_only_leaves_the_optimiser_out_and_cannot_be_continued():
    run = fit("name=a", "iterations=2", "callbacks.checkpoint.weights_only=true")
    path = run.folder / "checkpoints" / "iteration-000002.ckpt"
    saved = torch.load(path, weights_only=True)
    assert "optimizer_states" not in saved and "policy.head" in saved["state_dict"]
    with pytest.raises(ValueError, match=r"holds weights only .* policy\.weights="):
        newest(run.folder / "checkpoints")


def test_a_wrong_word_is_refused():
    with pytest.raises(Exception, match=r"callbacks.checkpoint.keep must be one of last, best, all, got 'some'"):
        build([*TOY, "callbacks.checkpoint.keep=some"])


def test_a_run_stops_early_and_keeps_its_last_iteration():
    """At a learning rate of 0 validation never improves after its first time."""
    run = fit(
        "name=a", "callbacks=early_stop", "callbacks.progress=null", "callbacks.early_stop.patience=2",
        "callbacks.validation.every=3", "optimizer.learning_rate=0", "iterations=30",
    )  # fmt: skip
    assert run.module.iteration == 9
    assert names(run.folder) == ["iteration-000009.ckpt"]


def test_validation_comes_every_so_often_and_not_at_all():
    often = fit("name=often", "iterations=5", "callbacks.validation.every=2", "callbacks.validation.count=3")
    at = [row["iteration"] for row in rows(often.folder / "metrics.jsonl") if "val/miou" in row]
    assert at == [2, 4]
    assert {"val/recall_50", "val/parse_failures", "val/length"} <= rows(often.folder / "metrics.jsonl")[1].keys()
    never = fit("name=never", "iterations=2", "callbacks.validation.every=0")
    assert not curve(never.folder, "val/miou")


def test_rollouts_are_written_as_often_as_asked():
    some = fit("name=some", "iterations=4", "callbacks.log.rollouts_every=2")
    assert {row["iteration"] for row in rows(some.folder / "rollouts.jsonl")} == {2, 4}
    none = fit("name=none", "iterations=2", "callbacks.log.rollouts_every=0")
    assert not (none.folder / "rollouts.jsonl").exists()


def test_wandb_is_logged_to_offline():
    run = fit("name=a", "iterations=2", "logger=wandb")
    fit("name=a", "iterations=3", "logger=wandb", resume=True)
    fit("name=b", "iterations=1", "logger=wandb")
    found = [path.name.rpartition("-")[2] for path in sorted(run.folder.parent.glob("*/wandb/offline-run-*"))]
    assert len(found) >= 2 and len({*found}) == 2, "a run that goes on is the same run there"


def test_nothing_but_the_progress_is_said(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder):
    fit("name=a", "iterations=2", "objective=surrogate_kl")
    fit("name=a", "iterations=3", "objective=surrogate_kl", resume=True)
    captured = capfd.readouterr()
    said = [line for line in (captured.out + captured.err).splitlines() if line.strip()]
    assert [line for line in said if not line.startswith(("Restor", "Restored"))] == []
    assert [str(warning.message) for warning in recwarn if "lightning" in str(warning.filename)] == []
