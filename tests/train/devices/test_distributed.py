"""Several processes on the CPU: DDP, FSDP2 and HSDP train what one process trains, and wrong sharding is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers.processes import run, torchrun
from helpers.running import assert_same_run, curve, fit, metrics, rows, weights

from kairos.compose import build
from kairos.core.seals import remove

OPTIONS = [
    "data=toy", "policy=toy", "template=answer", "method=timezero", "optimizer=sgd", "optimizer.learning_rate=0.5",
    "trainer=cpu", "callbacks.progress=null", "callbacks.validation.every=2", "callbacks.checkpoint.every=1",
]  # fmt: skip


def test_two_processes_train_what_one_process_trains(repository: Path, workplace: Path):
    """2 prompts on each of 2 ranks, or 1 on each of 4, are 4 prompts of one process: step, log and validation agree."""
    two = [*OPTIONS, "prompts=2", "trainer.devices=2", "iterations=3"]
    ddp = run(["SCRIPT", *two, "strategy=ddp", "name=ddp"], workplace, repository)
    assert ddp.returncode == 0, ddp.stderr[-4000:]
    fsdp2 = run([*torchrun(), *two, "strategy=fsdp2", "name=fsdp2"], workplace, repository)
    assert fsdp2.returncode == 0, fsdp2.stderr[-4000:]
    four = [*OPTIONS, "prompts=1", "trainer.devices=4", "iterations=3"]
    launch = [part.replace("=2", "=4") for part in torchrun()]
    hsdp = run([*launch, *four, "strategy=hsdp", "name=hsdp"], workplace, repository)
    assert hsdp.returncode == 0, hsdp.stderr[-4000:]
    alone = fit(*OPTIONS, "prompts=4", "iterations=3", "name=alone").folder
    for together in ("ddp", "fsdp2", "hsdp"):
        assert_same_weights(alone / "checkpoints", workplace / "runs" / together / "checkpoints", 3)
        assert_same_log(alone, workplace / "runs" / together, 3)


def test_a_sharded_run_resumes_bit_for_bit(repository: Path, workplace: Path):
    """With the reference of the KL term, which is no part of a checkpoint."""
    adam = [*OPTIONS, "optimizer=adamw", "prompts=2", "trainer.devices=2", "callbacks.checkpoint.keep=all"]
    whole = run([*torchrun(), *adam, "strategy=fsdp2", "iterations=4", "name=whole"], workplace, repository)
    assert whole.returncode == 0, whole.stderr[-4000:]
    part = workplace / "runs" / "part"
    shutil.copytree(workplace / "runs" / "whole", part)
    (part / "summary.json").unlink()
    for later in (3, 4):
        remove(part / "checkpoints" / f"iteration-{later:06d}.ckpt")
    resumed = run([*torchrun(), "run=runs/part"], workplace, repository)
    assert resumed.returncode == 0, resumed.stderr[-4000:]
    assert "continuing runs/part from iteration-000002.ckpt" in resumed.stdout
    assert_same_run(workplace / "runs" / "whole", part)


def test_a_language_model_sharded_layer_by_layer_trains_as_whole(repository: Path, workplace: Path):
    """Ranks whose rows end at different steps do not wait for one another; weights as from one process."""
    small = "+policy.config.hidden=64 +policy.config.layers=2 +policy.config.heads=4 +policy.config.key_heads=2"
    options = [
        "data=mini", "data.clips=4", "data.val_clips=1", "frames=mini", "policy=mini_random", "template=answer",
        *small.split(), "+policy.config.sections=[4,2,2]", "+policy.config.intermediate=96", "method=timezero",
        "optimizer=sgd", "optimizer.learning_rate=0.01", "trainer=cpu", "callbacks.progress=null", "iterations=2",
        "callbacks.validation=null", "callbacks.export=null", "callbacks.checkpoint.every=1", "data.folder=mini",
        "sampling.group_size=3", "sampling.max_actions=120", "objective=surrogate_kl_entropy", "store=clips",
    ]  # fmt: skip
    alone = build([*options, "prompts=2", "name=alone"])
    alone.trainer.fit(alone.module, alone.datamodule)
    two = [*options, "prompts=1", "trainer.devices=2", "strategy=fsdp2", "name=sharded"]
    sharded = run([*torchrun(), *two], workplace, repository)
    assert sharded.returncode == 0, sharded.stderr[-4000:]
    assert_same_weights(alone.folder / "checkpoints", workplace / "runs" / "sharded" / "checkpoints", 2)
    assert len({row["length"] for row in rows(alone.folder / "rollouts.jsonl")}) > 1
    assert all(norm > 0 for norm in curve(alone.folder, "learn/gradient_norm"))


def assert_same_weights(alone: Path, together: Path, iteration: int) -> None:
    name = f"iteration-{iteration:06d}.ckpt"
    mine, theirs = weights(alone / name), weights(together / name)
    assert mine.keys() == theirs.keys()
    for parameter, value in mine.items():
        torch.testing.assert_close(theirs[parameter], value, atol=1e-6, rtol=0)


def assert_same_log(alone: Path, together: Path, iterations: int) -> None:
    mine, theirs = metrics(alone)[:iterations], metrics(together)
    assert len(theirs) == iterations
    for one, other in zip(mine, theirs, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if not name.startswith(("learn/", "objective/")):  # weighted means of the same rows, summed elsewhere
                assert other[name] == pytest.approx(value, abs=1e-5), name
    texts = [
        [(row["iteration"], row["uid"], row["row"], row["text"]) for row in rows(folder / "rollouts.jsonl")]
        for folder in (alone, together)
    ]
    assert [row for row in texts[0] if row[0] <= iterations] == texts[1]  # type: ignore[operator]


def test_replicas_that_exchange_no_gradients_are_noticed(repository: Path, workplace: Path):
    """Lightning's own strategy shards nothing by itself: there are two replicas that drift apart."""
    sizes = {"save_distributed_checkpoint": "false", "data_parallel_size": "1", "tensor_parallel_size": "2"}
    wrong = ["strategy=single", "trainer.strategy._target_=lightning.pytorch.strategies.ModelParallelStrategy"]
    wrong += [f"+trainer.strategy.{name}={value}" for name, value in sizes.items()]
    command = [*torchrun(), *OPTIONS, "prompts=2", "trainer.devices=2", "iterations=3", "name=wrong", *wrong]
    done = run(command, workplace, repository)
    assert done.returncode != 0
    assert "the ranks hold different weights after one iteration" in done.stderr
    assert len(rows(workplace / "runs" / "wrong" / "metrics.jsonl")) <= 1
