"""A model and its load as one value, and the changes to it that need less memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from kairos.policy.memory.estimate import Load, estimate
from kairos.policy.memory.sizes import Sizes

_RANK = 32
"""Of conf/adapter/lora.yaml."""


@dataclass(frozen=True)
class Plan:
    """What is trained on one device, and with how much at once."""

    sizes: Sizes
    load: Load

    @property
    def need(self) -> float:
        """Bytes."""
        return estimate(self.sizes, self.load).need

    def loaded(self, **numbers: int | bool | str) -> Plan:
        """The same model under another load."""
        return replace(self, load=replace(self.load, **numbers))  # type: ignore[arg-type]


class Change(NamedTuple):
    """An override and the plan that it leads to."""

    override: str
    plan: Plan


def changes(plan: Plan) -> Iterator[Change]:
    """Every change that is left to make: first those that change no result, then more devices, then the others."""
    sizes, load = plan.sizes, plan.load
    if load.shared and load.prompts > 1:
        yield Change("updates.microbatch=1", plan.loaded(prompts=1, rows=load.rows // load.prompts))
    if not load.shared:
        yield Change(
            "scorer=shared_prefix updates.microbatch=1", plan.loaded(shared=True, prompts=1, rows=load.group)
        )  # fmt: skip
        if load.rows > 1:
            yield Change("updates.microbatch=1", plan.loaded(prompts=1, rows=1))
    if load.recompute != "full":
        yield Change("policy.recompute=full", plan.loaded(recompute="full"))
    if load.at_once > 1:
        yield Change("rollout.prompts_at_once=1", plan.loaded(at_once=1))
    if load.gpu:
        for devices in (2, 4, 8):
            if devices > load.shards:
                yield Change(f"strategy=fsdp2 trainer.devices={devices}", plan.loaded(shards=devices))
    if sizes.vision_trained and sizes.trained > sizes.vision:
        yield Change("policy.freeze=[vision]", replace(plan, sizes=_blind(sizes)))
    if not sizes.adapter:
        yield Change("adapter=lora", replace(plan, sizes=_adapted(sizes)))
    if load.reference and not sizes.adapter:
        yield Change("objective=surrogate (no KL, so no reference)", plan.loaded(reference=False))
    yield Change("frames.total_pixels at half", plan.loaded(vision_tokens=load.vision_tokens // 2))
    if load.group > 2:
        rows = load.rows // 2 if load.shared else load.rows
        yield Change(f"sampling.group_size={load.group // 2}", plan.loaded(group=load.group // 2, rows=rows))
    if load.completion > 256:
        yield Change(f"sampling.max_actions={load.completion // 2}", plan.loaded(completion=load.completion // 2))


def _blind(sizes: Sizes) -> Sizes:
    trained, frozen = sizes.trained - sizes.vision, sizes.frozen + sizes.vision
    return replace(sizes, trained=trained, frozen=frozen, vision_trained=False)


def _adapted(sizes: Sizes) -> Sizes:
    ends = 2 * (sizes.queries + sizes.keys) + 7 * sizes.hidden + 3 * sizes.intermediate
    trained = _RANK * sizes.layers * ends
    return replace(sizes, trained=trained, frozen=sizes.parameters, adapter=True, vision_trained=False)
