"""The small runs that are broken, and whether two of them are equal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kairos.policy.models.checkpoints import load

OPTIONS = [
    "policy=toy", "data=toy", "template=answer", "trainer=cpu", "callbacks.progress=null", "prompts=4",
    "iterations=8", "callbacks.checkpoint.every=2", "callbacks.validation.every=3", "callbacks.validation.count=8",
    "evaluate=both", "callbacks.evaluation.count=8",
    "optimizer=adamw", "optimizer.learning_rate=0.03", "sampling.group_size=4",
]  # fmt: skip
VARIANTS = {
    "one update": ["objective=surrogate"],
    "four updates": ["updates.epochs=2", "updates.minibatches=2", "objective=surrogate_kl"],
    "selected again": ["curriculum=refilter", "objective=surrogate", "injection=ground_truth"],
}
TWO = ["trainer.devices=2", "strategy=ddp", "prompts=2"]
"""Two processes on the CPU."""


def difference(whole: Path, other: Path) -> str | None:
    """What differs between an unbroken run and another one that ended; None if they are equal bit for bit.

    Compared are weights, optimiser and counters of the last checkpoint, every rollout, every metric that no clock
    decides, the selections and the predictions.
    """
    if not (other / "summary.json").exists():
        return "it did not end: no summary.json"
    checkpoints = [max((run / "checkpoints").glob("iteration-*.ckpt"), default=None) for run in (whole, other)]
    if checkpoints[0] is None or checkpoints[1] is None or checkpoints[0].name != checkpoints[1].name:
        return f"other checkpoints: {[path and path.name for path in checkpoints]}"
    for names in [["rollouts.jsonl"], _texts(whole, "selections"), _texts(whole, "predictions")]:
        for name in names:
            if not (other / name).exists() or (other / name).read_bytes() != (whole / name).read_bytes():
                return f"{name} differs"
    if _metrics(whole) != _metrics(other):
        return "metrics.jsonl differs"
    return _unequal("", *(_state(path) for path in checkpoints if path is not None))


def sizes(run: Path) -> list[int]:
    """Bytes of the files that a run writes, in order, without its page and pictures, which are the largest and last."""
    files = [path for path in run.rglob("*") if path.is_file() and path.suffix not in (".html", ".png", ".svg")]
    return sorted(path.stat().st_size for path in files)


def _state(checkpoint: Path) -> dict[str, object]:
    """What a checkpoint holds, without the seals of the logs, in which a clock has a part."""
    state = dict(load(checkpoint))
    callbacks = state["callbacks"]
    assert isinstance(callbacks, Mapping)
    state["callbacks"] = {name: held for name, held in callbacks.items() if not name.startswith("RunLog")}
    return state


def _texts(run: Path, folder: str) -> list[str]:
    return sorted(path.relative_to(run).as_posix() for path in (run / folder).rglob("*.json*") if path.name[0] != ".")


def _metrics(run: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    return [
        {name: value for name, value in row.items() if not name.startswith(("time/", "throughput/"))} for row in rows
    ]


def _unequal(key: str, one: object, other: object) -> str | None:
    """The first place at which two states of a run differ."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return None if torch.equal(one, other) else f"the checkpoint's {key} differs"
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if one.keys() != other.keys():
            return f"the checkpoint's {key} has other parts"
        return next((found for name in one if (found := _unequal(f"{key}/{name}", one[name], other[name]))), None)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next((found for place, (a, b) in pairs if (found := _unequal(f"{key}/{place}", a, b))), None)
    return None if one == other else f"the checkpoint's {key} is {other!r}, not {one!r}"
