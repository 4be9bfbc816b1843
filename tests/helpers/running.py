"""Builds and trains small runs in this process, and reads the files they wrote."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from kairos.compose import Experiment, assemble, build, compose
from kairos.policy.models.checkpoints import state_of
from kairos.train.callbacks.checkpoint import newest

TOY = ["policy=toy", "data=toy", "template=answer", "trainer=cpu", "callbacks.progress=null", "prompts=4"]
TINY = [
    "policy=mini_random", "+policy.config.hidden=64", "+policy.config.layers=2", "+policy.config.intermediate=96",
    "+policy.config.sections=[4,2,2]", "+policy.config.vision_hidden=32", "+policy.config.vision_layers=2",
    "+policy.config.vision_heads=2", "+policy.config.deepstack=[0]",
]  # fmt: skip
"""A random language model as small as it may be."""


def fit(*overrides: str, resume: bool | Path = False) -> Experiment:
    """A toy run below the working directory, from its newest checkpoint or from a given one where asked for."""
    built = build([*TOY, *overrides])
    checkpoint = resume if isinstance(resume, Path) else newest(built.folder / "checkpoints") if resume else None
    built.trainer.fit(built.module, built.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return built


def fit_in(folder: Path, *overrides: str) -> Path:
    """A toy run in this folder, from its newest checkpoint if there is one, without a page."""
    built = assemble(compose([*TOY, *overrides]), [*TOY, *overrides], folder)
    checkpoint = newest(folder / "checkpoints")
    built.trainer.fit(built.module, built.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return folder


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def metrics(folder: Path) -> list[dict[str, object]]:
    """The rows of metrics.jsonl without those that a clock decides."""
    return [
        {name: value for name, value in row.items() if not name.startswith(("time/", "throughput/"))}
        for row in rows(folder / "metrics.jsonl")
    ]


def curve(folder: Path, name: str) -> list[float]:
    return [float(row[name]) for row in rows(folder / "metrics.jsonl") if name in row]  # type: ignore[arg-type]


def weights(checkpoint: Path) -> dict[str, Tensor]:
    return dict(state_of(checkpoint))


def assert_same_run(one: Path, other: Path) -> None:
    """Weights of the last checkpoint, rollouts and every metric that no clock decides are equal bit for bit."""
    last = newest(one / "checkpoints")
    assert last is not None
    assert last.name == getattr(newest(other / "checkpoints"), "name", None)
    mine, theirs = weights(last), weights(other / "checkpoints" / last.name)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert (one / "rollouts.jsonl").read_bytes() == (other / "rollouts.jsonl").read_bytes()
    assert metrics(one) == metrics(other)
