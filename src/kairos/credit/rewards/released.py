"""Turns a reward into the one that the authors' released code computes, where ours departs from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

from kairos.core.protocols import Reward
from kairos.credit.rewards.rubric import RewardTerm, Rubric, Weighted


@runtime_checkable
class Departing(Protocol):
    """A reward term that departs from the released code; `released()` gives the term as released."""

    def released(self) -> RewardTerm: ...


def as_released(reward: Reward) -> Reward:
    """The rubric with every departing term replaced by its released form; any other reward is returned unchanged."""
    if not isinstance(reward, Rubric):
        return reward
    return replace(reward, terms={name: _released(weighted) for name, weighted in reward.terms.items()})


def _released(weighted: Weighted | None) -> Weighted | None:
    if weighted is None or not isinstance(weighted.term, Departing):
        return weighted
    return replace(weighted, term=weighted.term.released())
