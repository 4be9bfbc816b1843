"""Lists every change of a configuration that saves memory, with its cost and the run that it leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from kairos.core.out_of_memory import PLAN
from kairos.core.types import START
from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload

_RANK = 32
"""The rank in conf/adapter/lora.yaml."""


class Change(NamedTuple):
    """One change of a run's configuration."""

    override: str
    """What to add to the command line."""
    candidate: Candidate
    """The run after the change."""


@dataclass(frozen=True)
class Saving:
    """A kind of change that saves memory."""

    option: str
    """The override, or the key alone where the value depends on the run."""
    costs: str
    """What changes, and what that means for speed or results."""
    changes: Callable[[Candidate], Iterator[Change]]
    """Yields the changes of this kind that a candidate can still make."""


def _shared_prompts(now: Candidate) -> Iterator[Change]:
    if not now.workload.shared:
        shared = replace(now.workload, shared=True, prompts=1, rows=now.workload.group)
        yield _change("scorer=shared_prefix updates.microbatch=1", now, shared)


def _less_scored_at_once(now: Candidate) -> Iterator[Change]:
    load = now.workload
    if (load.prompts if load.shared else load.rows) > 1:
        rows = load.rows // load.prompts if load.shared else 1
        yield _change("updates.microbatch=1", now, replace(load, prompts=1, rows=rows))


def _recomputed(now: Candidate) -> Iterator[Change]:
    if now.workload.recompute != "full":
        yield _change("policy.recompute=full", now, replace(now.workload, recompute="full"))


def _fewer_prompts_sampled(now: Candidate) -> Iterator[Change]:
    if now.workload.at_once > 1 and now.colocated is None:
        yield _change("rollout.prompts_at_once=1", now, replace(now.workload, at_once=1))


def _sharded(now: Candidate) -> Iterator[Change]:
    for devices in (2, 4, 8):
        if now.workload.gpu and devices > now.workload.shards:
            shards = replace(now.workload, shards=devices)
            yield _change(f"strategy=fsdp2 trainer.devices={devices}", now, shards)


def _frozen_tower(now: Candidate) -> Iterator[Change]:
    sizes = now.sizes
    if sizes.vision_trained and sizes.trained > sizes.vision:
        trained, frozen = sizes.trained - sizes.vision, sizes.frozen + sizes.vision
        yield Change(
            "policy.freeze=[vision]",
            replace(now, sizes=replace(sizes, trained=trained, frozen=frozen, vision_trained=False)),
        )


def _adapter(now: Candidate) -> Iterator[Change]:
    if not now.sizes.adapter:
        references = {name: None if name == START else sizes for name, sizes in now.references.items()}
        yield Change("adapter=lora", replace(now, sizes=_adapted(now.sizes), references=references))


def _adapted(sizes: Sizes) -> Sizes:
    ends = 2 * (sizes.queries + sizes.keys) + 7 * sizes.hidden + 3 * sizes.intermediate
    trained = _RANK * sizes.layers * ends
    return replace(sizes, trained=trained, frozen=sizes.parameters, adapter=True, vision_trained=False)


def _no_reference(now: Candidate) -> Iterator[Change]:
    if list(now.references) == [START] and now.references[START] is not None:
        yield Change("objective=surrogate", replace(now, references={}))


def _fewer_pixels(now: Candidate) -> Iterator[Change]:
    half = replace(now.workload, vision_tokens=now.workload.vision_tokens // 2)
    yield _change("frames.total_pixels at half", now, half)


def _smaller_cache(now: Candidate) -> Iterator[Change]:
    beside = now.colocated
    if beside is not None and beside.kv_cache_gib >= 2:
        half = replace(beside, kv_cache_gib=beside.kv_cache_gib / 2)
        yield Change(f"rollout.kv_cache_gib={half.kv_cache_gib:g}", replace(now, colocated=half))


def _smaller_groups(now: Candidate) -> Iterator[Change]:
    load, half = now.workload, now.workload.group // 2
    if load.group > 2:
        rows = load.rows // 2 if load.shared else load.rows
        yield _change(f"sampling.group_size={half}", now, replace(load, group=half, rows=rows))


def _shorter_answers(now: Candidate) -> Iterator[Change]:
    half = now.workload.completion // 2
    if now.workload.completion > 256:
        yield _change(f"sampling.max_actions={half}", now, replace(now.workload, completion=half))


def _fewer_sets_answered(now: Candidate) -> Iterator[Change]:
    asked = now.answering
    if asked is not None and asked.tokens_at_once > asked.prompt:
        fewer = replace(asked, tokens_at_once=asked.prompt)
        yield Change(f"answerer.tokens_at_once={asked.prompt}", replace(now, answering=fewer))


def _fewer_features_kept(now: Candidate) -> Iterator[Change]:
    if now.answering is not None and now.answering.cache_gib > 0:
        yield Change("answerer.cache_gib=0", replace(now, answering=replace(now.answering, cache_gib=0.0)))


def _change(override: str, now: Candidate, workload: Workload) -> Change:
    return Change(override, replace(now, workload=workload))


SAVINGS = (
    Saving(
        "scorer=shared_prefix",
        "a prompt is computed once for its group: the same gradients, faster",
        _shared_prompts,
    ),
    Saving(
        "updates.microbatch=1",
        "fewer groups (or rows) scored at once: the same gradients, a little slower",
        _less_scored_at_once,
    ),
    Saving(
        "policy.recompute=full",
        "activations are computed again (selective: those of the MLPs): the same gradients, about a third more time",
        _recomputed,
    ),
    Saving(
        "rollout.prompts_at_once=1",
        "fewer prompts sampled at once: the same samples, a longer roll-out",
        _fewer_prompts_sampled,
    ),
    Saving(
        "rollout.kv_cache_gib",
        "vLLM decodes fewer rows at once: the same distribution of samples, a longer roll-out",
        _smaller_cache,
    ),
    Saving(
        "answerer.tokens_at_once",
        "fewer sets of frames answered together: the same answers, a longer roll-out",
        _fewer_sets_answered,
    ),
    Saving(
        "answerer.cache_gib=0",
        "features of frames are not kept between prompts: the same answers, a longer roll-out",
        _fewer_features_kept,
    ),
    Saving(
        "strategy=fsdp2",
        "parameters, gradients and moments are divided over several GPUs: more communication",
        _sharded,
    ),
    Saving(
        "policy.freeze=[vision]",
        "no gradients, moments and activations of the vision tower, its features are kept: it learns no more",
        _frozen_tower,
    ),
    Saving(
        "adapter=lora",
        "14 bytes less for each parameter that it freezes, and no copy for a reference: less is learnt",
        _adapter,
    ),
    Saving("objective=surrogate", "no KL, so no reference: nothing holds the policy near its start", _no_reference),
    Saving("frames.total_pixels", "fewer video tokens, so less of everything: the model sees less", _fewer_pixels),
    Saving("sampling.group_size", "fewer rows a group: a noisier baseline", _smaller_groups),
    Saving("sampling.max_actions", "shorter answers: longer ones are cut off", _shorter_answers),
)
"""Ordered: first changes that leave results as they are, then more devices, then the others."""

WAYS_OUT = "\n".join(
    ["What can be changed, what it costs:", *(f"  {saving.option:<27}{saving.costs}" for saving in SAVINGS), PLAN]
)
"""All savings as text, for an error message that does not know the run."""


def changes(candidate: Candidate) -> Iterator[tuple[Change, Saving]]:
    """Every change that `candidate` can still make and its kind, in the order of `SAVINGS`."""
    for saving in SAVINGS:
        for change in saving.changes(candidate):
            yield change, saving
