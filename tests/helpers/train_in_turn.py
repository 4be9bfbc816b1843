"""Run by torchrun: several runs one after another in the same processes, which start only once.

torchrun --nproc-per-node=2 train_in_turn.py '[["name=a", "strategy=fsdp2"], ["name=b", "strategy=ddp"]]'
"""

from __future__ import annotations

import json
import sys

from kairos.compose import train

if __name__ == "__main__":
    for overrides in json.loads(sys.argv[1]):
        train(overrides)
