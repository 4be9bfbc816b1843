"""Estimates the memory that a training step needs on one device, from shapes, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kairos.policy.memory.activations import Pass, layer_gradient, text_activations, vision_activations
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload
from kairos.policy.network.delta_net.rule import working_bytes
from kairos.policy.network.text.logprobs import CHUNK_ELEMENTS

GIB = 2**30
MARGIN = 0.15
"""Share of the estimates that grow with tokens: for fragmentation, workspaces and what the formulas leave out."""
CONTEXT = 1.5 * GIB
"""Bytes of the CUDA context and the libraries' workspaces."""

Phase = Literal["always", "roll out", "learn"]


@dataclass(frozen=True)
class Allocation:
    """One line of the table."""

    name: str
    """What is allocated."""
    size: float
    """Bytes."""
    phase: Phase = "always"
    """The phase that holds it."""
    exact: bool = True
    """Whether `size` follows from the number of parameters alone."""


@dataclass(frozen=True)
class Estimate:
    """The memory of a training step on one device."""

    allocations: tuple[Allocation, ...]
    """The lines of the table, none of size 0."""
    margin: float
    """Bytes for what the formulas leave out."""

    def held(self, phase: Phase, exact: bool | None = None) -> float:
        """Bytes that one phase holds; `exact` selects the exact allocations (True) or the others (False)."""
        return sum(a.size for a in self.allocations if a.phase == phase and exact in (None, a.exact))

    @property
    def need(self) -> float:
        """Bytes: what is always held, the larger of the two phases, and the margin."""
        return self.held("always") + max(self.held("roll out"), self.held("learn")) + self.margin


def estimate(
    sizes: Sizes,
    load: Workload,
    frozen: Mapping[str, Sizes] | None = None,
    more: Sequence[Allocation] = (),
    roll_out: Sequence[Allocation] | None = None,
) -> Estimate:
    """Estimate upper bounds: every completion at its limit, every clip at its budget.

    `frozen` holds the sizes of whole models beside the policy, by the name of their line: references, an answerer.
    `more`: further lines, of what these models compute. `roll_out`: the lines of an engine that does not sample with
    the policy itself, in place of those of `rollout=live`.
    """
    low = 2 if load.gpu else 4
    allocations = [
        Allocation("trained weights, fp32", 4 * sizes.trained / load.shards),
        Allocation("frozen weights", (low if load.shards == 1 else 4) * sizes.frozen / load.shards),
        Allocation("gradients, fp32", 4 * sizes.trained / load.shards),
        Allocation("optimiser's moments, fp32", load.moments * sizes.trained / load.shards),
    ]
    allocations += [Allocation(name, low * model.parameters) for name, model in (frozen or {}).items()]
    allocations += [*more, *(_rollout(sizes, load) if roll_out is None else roll_out), *_learn(sizes, load)]
    kept = tuple(a for a in allocations if a.size > 0)
    whole = Estimate(kept, 0.0)
    guessed = max(whole.held("roll out", exact=False), whole.held("learn", exact=False))
    margin = MARGIN * guessed + (CONTEXT if load.gpu else 0.0)
    return Estimate(kept, margin)


def reading_bytes(sizes: Sizes, low: int) -> float:
    """Bytes of a token that the text tower reads without gradients; `low`: bytes of a number in compute."""
    return sizes.hidden * 12 + sizes.intermediate * 3 * low + (sizes.queries + sizes.keys) * 2 * low


def looking_bytes(sizes: Sizes, low: int) -> float:
    """Bytes of a patch that the vision tower reads without gradients."""
    return (sizes.vision_hidden * 6 + sizes.vision_intermediate * 2) * low


def _rollout(sizes: Sizes, load: Workload) -> list[Allocation]:
    low = 2 if load.gpu else 4
    rows = load.at_once * load.group
    cached = load.at_once * load.prompt + rows * load.completion
    states = 4 * rows * sizes.state
    patches, read = _patches(sizes, load.at_once, load), load.at_once * load.prompt
    return [
        Allocation("roll-out: weights to compute with", computing_bytes(sizes, load, learning=False), "roll out"),
        Allocation("roll-out: keys and values", cached * sizes.key_value_bytes * low / 2 + states, "roll out", False),
        Allocation("roll-out: prompts read at once", read * reading_bytes(sizes, low), "roll out", False),
        Allocation("roll-out: vision tower", patches * looking_bytes(sizes, low), "roll out", False),
        Allocation("roll-out: scores of the next token", rows * sizes.vocabulary * 28, "roll out", False),
    ]


def _learn(sizes: Sizes, load: Workload) -> list[Allocation]:
    low, patches = 2 if load.gpu else 4, _patches(sizes, load.prompts, load)
    given = Pass(
        load.tokens, patches, load.recompute, load.gpu, load.gpu and load.fused, load.shards > 1,
        load.accumulating and load.gpu and load.shards == 1,
    )  # fmt: skip
    looking = 0 if sizes.vision_trained else looking_bytes(sizes, low)
    chosen = load.rows * load.completion
    logits = 2 if load.gpu else 4 * 4  # of which `token_logprobs` keeps one tensor, plain torch four
    scored = min(chosen * sizes.vocabulary, CHUNK_ELEMENTS) * logits + chosen * sizes.hidden * 4
    if not (sizes.adapter or given.accumulating):  # the head's gradient beside that it is added to
        scored += 4 * sizes.vocabulary * sizes.hidden
    inside = load.tokens * 4 * low * sizes.intermediate  # of gate, up and their product, and the product once more
    rule = working_bytes(sizes.values, sizes.value_heads)  # in plain torch; flash-linear-attention needs less
    features = load.prompts * load.vision_tokens * sizes.hidden * sizes.levels * 4
    return [
        Allocation("learning: weights to compute with", computing_bytes(sizes, load, learning=True), "learn"),
        Allocation("learning: activations of the text layers", text_activations(sizes, given), "learn", False),
        Allocation("learning: one delta rule computed again", load.tokens * rule, "learn", False),
        Allocation(
            "learning: vision tower and its features",
            vision_activations(sizes, given) + patches * looking + features,
            "learn",
            False,
        ),
        Allocation("learning: a layer's gradient, to be added", layer_gradient(sizes, given), "learn", False),
        Allocation("learning: log-probabilities, or an MLP's gradients", max(scored, inside), "learn", False),
    ]


def computing_bytes(sizes: Sizes, load: Workload, learning: bool) -> float:
    """Bytes of the bf16 copies that autocast makes of trained weights; under fsdp2, of gathered weights and gradients.

    A roll-out gathers all weights. Learning holds embedding and head throughout, and gathers one block at a time, with
    the next block and the gradients of the last.
    """
    low = 2 if load.gpu else 4
    if load.shards == 1:
        return 2 * sizes.trained if load.gpu else 0
    if not learning:
        return low * sizes.parameters
    padded = 0  # a trained tower's MLPs whose width is no multiple of 8 keep padded weights until the backward pass
    if sizes.vision_trained and sizes.vision_gated and sizes.vision_intermediate % 8:
        padded = 3 * low * sizes.vision_layers * sizes.vision_hidden * sizes.vision_intermediate
    return 4 * low * sizes.vocabulary * sizes.hidden + 6 * low * sizes.trained / max(1, sizes.layers) + padded


def _patches(sizes: Sizes, prompts: int, load: Workload) -> int:
    return prompts * load.vision_tokens * sizes.patches
