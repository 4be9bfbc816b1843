"""What a configured run asks of one device: from its objects to the numbers of the memory estimate."""

from __future__ import annotations

import psutil
import torch

from kairos.policy.language import LanguagePolicy
from kairos.policy.memory import Load
from kairos.policy.plan import Plan
from kairos.policy.sizes import sizes_of
from kairos.rollout.live import Live
from kairos.train.grpo import GRPOModule
from kairos.video.budget import TEMPORAL_PATCH, PixelBudget

WORDS = 256
"""Text tokens of a prompt around its video: the longest wording of the shipped templates has about 200."""
STAMP = 10
"""Tokens of one textual timestamp and the markers around its frames."""


def plan_of(module: GRPOModule, budget: PixelBudget, prompts: int, shards: int, gpu: bool) -> Plan | None:
    """None where the policy is no language model whose sizes are known: there is nothing to estimate, nor any cost.

    `prompts` is how many one rank draws a step, `shards` how many devices share weights and moments.
    """
    policy = module.policy
    if not isinstance(policy, LanguagePolicy):
        return None
    sizes = sizes_of(policy)
    if sizes is None:
        return None
    sampling = module.sampling.at(0, module.iterations)
    drawn = prompts * module.oversample
    groups = max(1, prompts // module.minibatches)
    shared = policy.microbatch_unit == "group"
    units = groups if shared else groups * sampling.group_size
    step = min(module.microbatch or units, units)
    rows = step * sampling.group_size if shared else step
    at_once = drawn
    if isinstance(module.engine, Live) and module.engine.prompts_at_once:
        at_once = min(drawn, module.engine.prompts_at_once)
    load = Load(
        text_tokens=WORDS + (STAMP * most_frames(budget) // TEMPORAL_PATCH if sizes.stamped else 0),
        vision_tokens=most_tokens(budget),
        completion=sampling.max_actions,
        group=sampling.group_size,
        at_once=at_once,
        prompts=step if shared else -(-step // sampling.group_size),
        rows=rows,
        shared=shared,
        recompute="full" if policy.recompute == "auto" else policy.recompute,  # auto ends there where nothing else fits
        reference="reference" in module.objective.needs,
        moments=8 if module.optimizer.kind == "adamw" else 0,
        shards=shards,
        gpu=gpu,
    )
    return Plan(sizes, load)


def most_tokens(budget: PixelBudget) -> int:
    """Vision tokens of a clip that fills the budget. One so long that min_pixels takes over can have more."""
    return int(min(budget.total, budget.largest * (budget.max_frames // TEMPORAL_PATCH))) // budget.factor**2


def most_frames(budget: PixelBudget) -> int:
    """Frames of a clip that is as long as it may be before every frame is at its smallest."""
    return min(budget.max_frames, int(budget.total / budget.smallest) * TEMPORAL_PATCH)


def memory_of(gpu: bool, device: int = 0) -> float:
    """Bytes of one device: the GPU's whole memory, or what the machine has to spare."""
    if gpu:
        return float(torch.cuda.get_device_properties(device).total_memory)
    return float(psutil.virtual_memory().available)
