"""Variants of the clipped surrogate: one ratio per row (GSPO), and the clipped ratio as a fixed weight (CISPO)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.types import ActionStats, RolloutBatch
from kairos.objective.terms import ClippedSurrogate


@dataclass(frozen=True)
class SequenceSurrogate(ClippedSurrogate):
    """The clipped surrogate with one ratio per row: exp(mean over its actions of log pi - log pi_old) (GSPO).

    All actions of a row have the same value, so under `SequenceMean` each row counts once, as published. This ratio
    stays closer to 1 than a ratio per action: hence the paper's narrow clip.
    """

    clip_low: float = 3e-4
    clip_high: float = 4e-4

    def ratio(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        """[B, A], the same along a row; 1 for a row without actions."""
        old_BA = stats.logprobs_BA.detach() if batch.old_logprobs_BA is None else batch.old_logprobs_BA
        outside_BA = batch.mask_BA <= 0
        log_BA = stats.logprobs_BA.masked_fill(outside_BA, 0.0) - old_BA.masked_fill(outside_BA, 0.0)
        length_B1 = (~outside_BA).sum(dim=1, keepdim=True).clamp(min=1)
        mean_B1 = log_BA.sum(dim=1, keepdim=True) / length_B1
        return mean_B1.clamp(-20.0, 20.0).exp().expand_as(log_BA)


@dataclass(frozen=True)
class WeighingSurrogate(ClippedSurrogate):
    """-clip(ratio, 1 - clip_low, 1 + clip_high) * A * log pi, the clipped ratio held fixed (CISPO).

    Every action keeps its gradient; clipping only bounds the weight. As published there is no lower bound (`clip_low`
    1). The paper tunes the upper bound without stating it, so the default is DAPO's.
    """

    clip_low: float = 1.0
    clip_high: float = 0.28

    def __call__(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        weight_BA = self.ratio(stats, batch).detach().clamp(1.0 - self.clip_low, 1.0 + self.clip_high)
        logprobs_BA = stats.logprobs_BA.masked_fill(batch.mask_BA <= 0, 0.0)
        return -self.importance(stats, batch) * weight_BA * batch.advantages_B[:, None] * logprobs_BA

    def clipped(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        """[B, A] bool, all False: no action loses its gradient."""
        return torch.zeros_like(batch.mask_BA, dtype=torch.bool)
