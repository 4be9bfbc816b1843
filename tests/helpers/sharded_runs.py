"""Runs of two processes over FSDP2, one after another in one launch: for tests of what they leave on the disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from helpers.processes import run, torchrun
from helpers.running import TINY

TWO = ["trainer.devices=2", "prompts=2", "strategy=fsdp2"]
WORDS = [
    "data=mini", "data.clips=4", "data.val_clips=1", "data.folder=mini", "frames=mini", "template=answer",
    "trainer=cpu", "callbacks.progress=null", "callbacks.validation=null", "evaluate=none", "store=clips",
    "sampling.group_size=3", "sampling.max_actions=20", "method=timezero", "optimizer.learning_rate=0.01",
    "callbacks.checkpoint.every=1", "objective=surrogate_kl_entropy",
]  # fmt: skip
BASE = [*WORDS, *TINY, "prompts=1"]
"""A run that trains a random language model of two layers."""
ADAPTED = [*WORDS, "policy=mini", "policy.weights=runs/base", "adapter=lora", "adapter.rank=4", "prompts=1"]
"""A run that trains an adapter over that one's model."""
_OVER_SHARDS = [*(option for option in TWO if not option.startswith("prompts")), "iterations=2"]
ADAPTER_OVER_SHARDS = [[*BASE, *_OVER_SHARDS, "name=base"], [*ADAPTED, *_OVER_SHARDS, "name=adapted"]]
"""Both, for `train_in_turn`; `kairos export runs/adapted output=<folder>` then writes a folder for peft and vLLM."""


def train_in_turn(turns: Sequence[Sequence[str]], place: Path, repository: Path) -> None:
    script = str(repository / "tests" / "helpers" / "train_in_turn.py")
    done = run([*torchrun()[:-1], script, json.dumps(turns)], place, repository, repository / "benchmarks")
    assert done.returncode == 0, done.stderr[-6000:]
