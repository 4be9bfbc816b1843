"""What a scorer of completions promises: `SharedPrefix` and `Repeated` are the two that there are."""

from __future__ import annotations

from typing import Protocol

from kairos.core.types import ActionStats, RolloutBatch
from kairos.policy.network.towers import Seen, Towers


class CompletionScorer(Protocol):
    """Log-probabilities of a batch's completions, from features that the vision tower gave before."""

    @property
    def unit(self) -> str:
        """What a micro-batch counts: "group" or "row"."""
        ...

    def __call__(self, towers: Towers, batch: RolloutBatch, seen: Seen, entropy: bool) -> ActionStats: ...
