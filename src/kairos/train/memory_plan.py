"""Translates a configured run into the inputs of the memory estimate."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

import psutil
import torch

from kairos.core.types import START
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.answering import Answering
from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.colocated import Colocated
from kairos.policy.memory.prompt_size import text_tokens, vision_tokens
from kairos.policy.memory.sizes import Sizes, of_parameters
from kairos.policy.memory.workload import Workload
from kairos.rollout.ahead import Ahead
from kairos.rollout.live import Live
from kairos.rollout.vllm.engine import VLLM
from kairos.train.grpo import GRPOModule
from kairos.video.budget import PixelBudget


@runtime_checkable
class SaysSizes(Protocol):
    """A policy or a reference that knows its sizes before its weights are loaded."""

    def sizes(self) -> Sizes | None: ...


@runtime_checkable
class HoldsModels(Protocol):
    """A rollout engine that holds frozen models on the device, such as an answerer."""

    def held_sizes(self) -> Mapping[str, Sizes]:
        """Sizes by the models' names, which the memory table shows."""
        ...


@runtime_checkable
class PlansAnswers(Protocol):
    """A rollout engine whose answerer computes much at once."""

    def answering(self, budget: PixelBudget, most: int) -> Answering | None:
        """What the answerer computes; `most`: the largest number of actions that the policy may take."""
        ...


def candidate_of(
    module: GRPOModule, budget: PixelBudget, prompts: int, shards: int, gpu: bool, alone: bool
) -> Candidate | None:
    """The run as configured; None if neither policy nor engine has a language model of known sizes.

    `prompts`: per rank and step. `shards`: number of devices that share weights and moments. `alone`: there is only one
    device.
    """
    policy = module.policy
    if not isinstance(policy, LanguagePolicy):
        return _beside(module, budget, prompts, gpu)
    sizes = policy.sizes()
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
    engine = module.engine.engine if isinstance(module.engine, Ahead) else module.engine
    if isinstance(engine, Live) and engine.prompts_at_once:
        at_once = min(drawn, engine.prompts_at_once)
    workload = Workload(
        text_tokens=text_tokens(budget, sizes.stamped),
        vision_tokens=vision_tokens(budget),
        completion=sampling.max_actions,
        group=sampling.group_size,
        at_once=at_once,
        prompts=step if shared else -(-step // sampling.group_size),
        rows=rows,
        shared=shared,
        recompute="full" if policy.recompute == "auto" else policy.recompute,  # auto ends there where nothing else fits
        moments=8 if module.optimizer.kind == "adamw" else 0,
        shards=shards,
        gpu=gpu,
        fused=policy.compile_with is None,
        accumulating=alone,
    )
    references = reference_sizes(module.teachers, module.objective.needs.references, sizes)
    held = module.engine.held_sizes() if isinstance(module.engine, HoldsModels) else {}
    beside = module.engine.settings if isinstance(module.engine, VLLM) else None
    colocated = None if beside is None else Colocated(beside.kv_cache_gib, beside.sleeps)
    return Candidate(sizes, workload, references, held, colocated=colocated)


def _beside(module: GRPOModule, budget: PixelBudget, prompts: int, gpu: bool) -> Candidate | None:
    """A small policy, whose own computing counts as nothing, and the answerer of its engine; None without one."""
    most = module.sampling.at(0, module.iterations).max_actions
    asked = module.engine.answering(budget, most) if isinstance(module.engine, PlansAnswers) else None
    if asked is None or not isinstance(module.engine, HoldsModels):
        return None
    group = module.sampling.group_size
    workload = Workload(
        text_tokens=asked.text_tokens,
        vision_tokens=asked.vision_tokens,
        completion=asked.completion,
        group=group,
        at_once=prompts * module.oversample,
        prompts=prompts,
        rows=prompts * group,
        recompute="full",
        moments=8 if module.optimizer.kind == "adamw" else 0,
        gpu=gpu,
    )
    return Candidate(of_parameters(module.policy), workload, held=module.engine.held_sizes(), answering=asked)


def reference_sizes(
    references: Mapping[str, object], needed: Collection[str], trained: Sizes
) -> dict[str, Sizes | None]:
    """The sizes of the references that the loss needs, by name.

    `start`, the policy before any update, is a copy of `trained`, or None with an adapter, which is switched off
    instead. Any other reference gives its own sizes.
    """
    found: dict[str, Sizes | None] = {}
    for name in sorted(needed):
        if name == START:
            found[name] = None if trained.adapter else trained
        else:
            reference = references[name]
            found[name] = reference.sizes() if isinstance(reference, SaysSizes) else None
    return found


def memory_of(gpu: bool, device: int = 0) -> float:
    """Bytes of one device: all memory of the GPU, or the available memory of the machine."""
    if gpu:
        return float(torch.cuda.get_device_properties(device).total_memory)
    return float(psutil.virtual_memory().available)
