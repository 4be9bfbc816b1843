"""The objective: named terms, and one aggregation of them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.protocols import Aggregation, MeasuresActions, Term
from kairos.core.types import ActionStats, Needs, RolloutBatch


@dataclass(frozen=True)
class Objective:
    """loss = sum(weight_BA * sum of terms_BA) / denominator, with weight and denominator of the aggregation."""

    terms: Mapping[str, Term]
    """By name; each gives [B, A]."""
    aggregation: Aggregation
    """Weights the actions and gives the denominator."""

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError("an objective needs at least one term")

    @property
    def needs(self) -> Needs:
        """The needs of all terms together."""
        return functools.reduce(operator.or_, (term.needs for term in self.terms.values()))

    def weights(self, mask_BA: Tensor, group_of_B: Tensor, weights_B: Tensor) -> tuple[Tensor, Tensor]:
        """(weight_BA, denominator) of a whole mini-batch on this rank."""
        return self.aggregation(mask_BA, group_of_B, weights_B)

    def values(self, stats: ActionStats, batch: RolloutBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the terms [B, A], and for the log each term [B, A] without gradient."""
        terms = {name: term(stats, batch) for name, term in self.terms.items()}
        summed_BA = torch.stack(list(terms.values())).sum(dim=0)
        return summed_BA, {name: term_BA.detach() for name, term_BA in terms.items()}

    def measured(self, stats: ActionStats, batch: RolloutBatch) -> dict[str, Tensor]:
        """What the terms measure beyond their values [B, A], by the metric's name."""
        found: dict[str, Tensor] = {}
        for term in self.terms.values():
            if isinstance(term, MeasuresActions):
                found |= term.measured(stats, batch)
        return found
