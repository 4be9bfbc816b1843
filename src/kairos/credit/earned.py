"""Computes advantages and weights from the rewards of a step, for training and for `score.py`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kairos.core.protocols import Advantage, Gate
from kairos.core.types import Sampling


@dataclass(frozen=True)
class Earned:
    """The advantages and weights with which the rollouts of one group are learned; the same numbers are logged."""

    advantages_G: Tensor
    """float [G]"""
    weights_G: Tensor
    """float [G]: the advantage's own weights times the group's gate."""
    gate: float
    """The weight of the whole group, 0 where it is left out."""

    @classmethod
    def nothing(cls, rows: int) -> Earned:
        """For a group that only fills the place of a failed prompt."""
        return cls(torch.zeros(rows), torch.zeros(rows), 0.0)

    def unused(self) -> Earned:
        """The same advantages with all weights 0, for a group that is not learned from."""
        return replace(self, weights_G=torch.zeros_like(self.weights_G))


def earned(advantage: Advantage, gate: Gate, rewards: Sequence[Tensor], on_policy: Sequence[Tensor]) -> list[Earned]:
    """One `Earned` for each group of a step, in order. `rewards` and `on_policy` hold one [G] tensor for each group.

    ValueError if the advantage returns another number of groups or rows than it was given.
    """
    pairs = advantage(rewards, on_policy)
    given, got = [len(rewards_G) for rewards_G in rewards], [(len(a_G), len(w_G)) for a_G, w_G in pairs]
    if got != [(size, size) for size in given]:
        raise ValueError(
            f"the advantage {advantage!r} was given groups of {given} rollouts and gave (advantages, weights) of "
            f"{got}: it must give one advantage and one weight a rollout, group by group"
        )
    gates = [gate(rewards_G, own_G) for rewards_G, own_G in zip(rewards, on_policy, strict=True)]
    return [Earned(a_G, w_G * opening, opening) for (a_G, w_G), opening in zip(pairs, gates, strict=True)]


def refuse_group_rule(advantage: Advantage) -> None:
    """ValueError where `advantage` is a rule for one group: its first parameter is `rewards_G`, or one Tensor."""
    first = next(iter(inspect.signature(advantage).parameters.values()), None)
    if first is None:
        return
    hint = first.annotation if isinstance(first.annotation, str) else getattr(first.annotation, "__name__", "")
    if first.name.endswith("_G") or hint.rpartition(".")[2] == "Tensor":
        raise ValueError(
            f"the advantage {advantage!r} takes the rewards of one group ({first}), but an advantage is called once a "
            "step with the groups in a list: wrap it in PerGroup (yaml: _target_: kairos.credit.advantages.PerGroup, "
            "and the rule under `rule`)"
        )


def refuse_equal_groups(advantage: Advantage, sampling: Sampling) -> None:
    """ValueError where groups of this size, or at temperature 0, get advantage 0 whatever their rewards.

    For a run without injected rows. The advantage is tried on made-up rewards.
    """
    count = sampling.group_size
    if count == 1 and _nothing(advantage, [torch.zeros(1), torch.ones(1)]):
        raise ValueError(
            f"sampling.group_size=1: the advantage ({advantage!r}) compares the rollouts of a group, so one alone "
            "teaches nothing; say sampling.group_size=2 or more, or another advantage="
        )
    if count > 1 and sampling.temperature == 0 and _nothing(advantage, [torch.zeros(count), torch.ones(count)]):
        raise ValueError(
            f"sampling.temperature=0: the {count} rollouts of a group would be equal, and the advantage "
            f"({advantage!r}) compares them; say sampling.temperature=1, or another advantage="
        )


def _nothing(advantage: Advantage, rewards: Sequence[Tensor]) -> bool:
    """Whether no rollout has an advantage and a weight."""
    found = advantage(rewards, [torch.ones(len(one), dtype=torch.bool) for one in rewards])
    return not any((advantages_G * weights_G).any() for advantages_G, weights_G in found)
