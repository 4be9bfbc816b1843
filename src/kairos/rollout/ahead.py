"""Samples an iteration before the one before it is learned: `rollout.ahead=1`, one step off-policy.

The rows of iteration t + 1 are sampled with the weights from before the update of iteration t. Where the rows come from
another process (`Begins`) both happen at once; an engine of this process samples first and learns then, which gains
nothing but shows what the same staleness does to a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol, cast, runtime_checkable

import torch

from kairos.core.protocols import Begins, Policy, RolloutEngine
from kairos.core.types import Prompt, RolloutGroup, Sampling
from kairos.rollout.kept_rows import Plain, read_rows, written_rows


@runtime_checkable
class MayBeAhead(Protocol):
    """An engine with the option `rollout.ahead`."""

    ahead: int


def scheduled(engine: RolloutEngine) -> RolloutEngine:
    """The engine, as its option `ahead` says: by itself (0, or no such option), or one iteration ahead (1).

    ValueError for any other number.
    """
    ahead = engine.ahead if isinstance(engine, MayBeAhead) else 0
    if ahead not in (0, 1):
        raise ValueError(f"rollout.ahead must be 0 or 1 (iterations that are sampled before they are due), got {ahead}")
    return Ahead(engine) if ahead else engine


@dataclass(frozen=True)
class Request:
    """The arguments of `generate`."""

    prompts: tuple[Prompt, ...]
    group_size: int
    sampling: Sampling
    seed: int

    def key(self) -> dict[str, object]:
        """What must be equal for kept rows to be its answer, as plain numbers and text."""
        return {"group_size": self.group_size, "sampling": asdict(self.sampling), "seed": self.seed}


class Ahead:
    """Wraps an engine: what is foreseen is sampled with the weights of now, and given when it is asked for.

    A row is a function of (seed, uid, row) and the weights, so requests that were not foreseen (the first iteration, a
    validation) go to the engine and disturb nothing. A checkpoint holds the rows that are sampled ahead, because the
    weights that sampled them are gone: `state_dict` waits for them.
    """

    def __init__(self, engine: RolloutEngine) -> None:
        self.engine = engine
        self._foreseen: Request | None = None
        self._kept: tuple[dict[str, object], dict[str, list[Plain]]] | None = None
        self._waiting: tuple[Request, Callable[[], list[RolloutGroup]]] | None = None

    @property
    def asks_policy(self) -> bool:
        return self.engine.asks_policy

    def setup(self, device: torch.device) -> None:
        self.engine.setup(device)

    def sync(self, policy: Policy) -> None:
        """Waits for what is being sampled with the weights that the engine has."""
        self._settle()
        self.engine.sync(policy)

    def foresee(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> None:
        self._foreseen = Request(tuple(prompts), group_size, sampling, seed)

    def generate(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        request, due = Request(tuple(prompts), group_size, sampling, seed), self._foreseen
        groups = self._kept_answer(request)
        if groups is None:
            groups, age = self.engine.generate(prompts, group_size, sampling, seed), 0 if due is not None else None
        else:
            self._kept, age = None, 1
        if due is not None:
            self._foreseen = None
            arguments = due.prompts, due.group_size, due.sampling, due.seed
            if isinstance(self.engine, Begins):
                self._waiting = due, self.engine.begin(*arguments)
            else:
                self._keep(due, self.engine.generate(*arguments))
        return groups if age is None else [_aged(group, age) for group in groups]

    def release(self) -> None:
        self.engine.release()

    def state_dict(self) -> dict[str, object]:
        """Empty where nothing is sampled ahead."""
        self._settle()
        return {} if self._kept is None else {"key": self._kept[0], "rows": self._kept[1]}

    def load_state_dict(self, states: Sequence[Mapping[str, object]]) -> None:
        """Takes the rows of all ranks: another number of ranks finds its prompts among them."""
        held = [state for state in states if state]
        if held:
            rows = [cast("dict[str, list[Plain]]", state["rows"]) for state in held]
            merged = {uid: lines for part in rows for uid, lines in part.items()}
            self._kept = cast("dict[str, object]", held[0]["key"]), merged

    def _settle(self) -> None:
        if self._waiting is not None:
            (request, wait), self._waiting = self._waiting, None
            self._keep(request, wait())

    def _keep(self, request: Request, groups: Sequence[RolloutGroup]) -> None:
        self._kept = request.key(), {group.prompt.uid: written_rows(group.rollouts) for group in groups}

    def _kept_answer(self, request: Request) -> list[RolloutGroup] | None:
        """The groups that were sampled ahead for this request; None where they were not."""
        self._settle()
        if self._kept is None or self._kept[0] != request.key():
            return None
        rows = self._kept[1]
        if any(prompt.uid not in rows for prompt in request.prompts):
            return None
        return [RolloutGroup(prompt, read_rows(rows[prompt.uid])) for prompt in request.prompts]


def _aged(group: RolloutGroup, age: int) -> RolloutGroup:
    return replace(group, rollouts=tuple(replace(row, staleness=age) for row in group.rollouts))
