"""The protocol of completion scorers, `SharedPrefix` and `Repeated`."""

from __future__ import annotations

from typing import Protocol

from kairos.core.types import ActionStats, RolloutBatch
from kairos.policy.network.towers import Towers, VideoFeatures


class CompletionScorer(Protocol):
    """Scores a batch's completions. `seen` holds the video features of its prompts, which the caller computes."""

    @property
    def unit(self) -> str:
        """What a micro-batch counts: "group" or "row"."""
        ...

    def __call__(self, towers: Towers, batch: RolloutBatch, seen: VideoFeatures, entropy: bool) -> ActionStats: ...
