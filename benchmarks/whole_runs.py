"""Runs scripts/train.py for a cell of a benchmark, on one process or several, and reads what an iteration took."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from measuring import iteration_of
from omegaconf import DictConfig

from kairos.commands.plan import shards_of
from kairos.compose import compose, part
from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.fastest import at_fastest
from kairos.policy.speed.amounts import h200
from kairos.policy.speed.iteration import Iteration
from kairos.train.grpo import GRPOModule
from kairos.train.memory_plan import candidate_of
from kairos.train.time_plan import planned_iteration
from kairos.video.budget import PixelBudget

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent / "scripts"
H200_BYTES = 139.8 * 2**30
BARE = [
    "evaluate=none", "callbacks.validation=null", "callbacks.checkpoint=null", "callbacks.export=null",
    "memory_check=warn",
]  # fmt: skip
"""A run that does nothing beside its iterations."""
_KEPT = ("time/", "throughput/", "rollout/length")


def iterated(run: Path, overrides: Sequence[str], processes: int, number: int) -> dict[str, float] | None:
    """The times of iteration `number` of a new run in the folder `run`; None where the run fails, having said why."""
    shutil.rmtree(run, ignore_errors=True)
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    command = [*launch, str(SCRIPTS / "train.py"), *overrides, f"name={run.name}"]
    if subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": path}).returncode:
        return None
    return {key: value for key, value in iteration_of(run, number).items() if key.startswith(_KEPT)}


@dataclass(frozen=True)
class Prediction:
    """What `kairos plan` says of a run on H200s."""

    gib: float
    """Needed memory of one device."""
    seconds: dict[str, float]
    """Of each phase of an iteration; "whole" is their sum."""

    @property
    def fits(self) -> bool:
        return self.gib * 2**30 <= H200_BYTES


def predicted(overrides: Sequence[str], devices: int) -> Prediction | None:
    """The plan of a run as `overrides` configure it; None for policies of no known sizes, such as mini."""
    config = compose([*overrides, "callbacks.progress=null"])
    found = planned(config, devices, tokens=None)
    if found is None:
        return None
    candidate, iteration = found
    seconds = {phase: amounts.seconds(h200()) for phase, amounts in iteration.phases.items()}
    return Prediction(candidate.need / 2**30, {**seconds, "whole": sum(seconds.values())})


def planned(
    config: DictConfig, devices: int, tokens: tuple[int, int, int] | None
) -> tuple[Candidate, Iteration] | None:
    """The memory and the work of one device. `tokens`: text, vision and answer tokens, where they were measured."""
    module, budget = part(config.module), part(config.frames)
    assert isinstance(module, GRPOModule) and isinstance(budget, PixelBudget)
    found = candidate_of(module, budget, config.prompts, shards_of(config), gpu=True, alone=devices == 1)
    if found is None:
        return None
    if tokens is not None:
        text, vision, answer = tokens
        load = replace(found.workload, text_tokens=text, vision_tokens=vision, completion=answer)
        found = replace(found, workload=load)
    if config.policy.recompute == "auto":
        found = at_fastest(found, H200_BYTES)
    iteration = planned_iteration(module, found, config.prompts, devices)
    return None if iteration is None else (found, iteration)
