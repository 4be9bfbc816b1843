"""Run by torchrun: several runs one after another in the same processes, which start only once. No pages are drawn.

torchrun --nproc-per-node=2 train_in_turn.py '[["name=a", "strategy=fsdp2"], ["name=b", "strategy=ddp"]]'
"""

from __future__ import annotations

import json
import sys

from kairos.compose import build, resolved, wording
from kairos.runs.folder import RunFolder
from kairos.train.callbacks.checkpoint import newest
from kairos.train.devices.ranks import main_process


def fit(overrides: list[str]) -> None:
    """From the newest checkpoint, if there is one."""
    built = build(overrides)
    run = RunFolder(built.folder)
    checkpoint = newest(run.checkpoints)
    if main_process():
        run.begin(resolved(built.config), overrides, "", True, wording(built.config))
    built.trainer.fit(built.module, built.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None)


if __name__ == "__main__":
    for overrides in json.loads(sys.argv[1]):
        fit(overrides)
