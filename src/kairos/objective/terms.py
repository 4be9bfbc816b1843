"""Terms of the loss: one value per action [B, A], to be minimised, 0 outside the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kairos.core.types import START, ActionStats, Needs, RolloutBatch


@dataclass(frozen=True)
class ClippedSurrogate:
    """-min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A), ratio = pi / pi_old (PPO; DAPO's clip-higher).

    Without old log-probs pi_old is pi, detached: the ratio is 1 and its gradient is the policy gradient.
    The log-ratio is clamped to [-20, 20] against overflow.
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    importance_limit: float | None = None
    """Weigh every action by min(pi_old / the distribution that was sampled, limit), held fixed: corrects for a sampler
    that rounds otherwise or truncates (top_p, top_k) (Yao et al. 2025 take 2). None: no weight."""
    stale_limit: float = 2.0
    """That limit, where `importance_limit` is None, for rows that older weights sampled (`rollout.ahead`)."""

    needs = Needs()

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low <= 1 or self.clip_high < 0:
            raise ValueError(
                f"clip_low must lie in [0, 1] and clip_high be >= 0, got {self.clip_low} and {self.clip_high}"
            )
        if self.importance_limit is not None and self.importance_limit <= 0:
            raise ValueError(f"importance_limit must be > 0, or null for no weight, got {self.importance_limit}")
        if self.stale_limit <= 0:
            raise ValueError(f"stale_limit must be > 0, got {self.stale_limit}")

    def __call__(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        ratio_BA = self.ratio(stats, batch)
        advantages_B1 = batch.advantages_B[:, None]
        clipped_BA = ratio_BA.clamp(1.0 - self.clip_low, 1.0 + self.clip_high)
        surrogate_BA = torch.minimum(ratio_BA * advantages_B1, clipped_BA * advantages_B1)
        return _inside(-self.importance(stats, batch) * surrogate_BA, batch)

    def importance(self, stats: ActionStats, batch: RolloutBatch) -> Tensor | float:
        """pi_old / the sampled distribution, truncated, [B, A]; 1 in rows that the policy did not sample."""
        limit = self.stale_limit if self.importance_limit is None else self.importance_limit
        weighs_all = self.importance_limit is not None
        if batch.behavior_logprobs_BA is None or not (weighs_all or batch.staleness_B is not None):
            return 1.0
        old_BA = stats.logprobs_BA.detach() if batch.old_logprobs_BA is None else batch.old_logprobs_BA
        log_BA = _difference(old_BA, batch.behavior_logprobs_BA, batch).nan_to_num(nan=0.0)
        if not weighs_all and batch.staleness_B is not None:
            log_BA = log_BA.masked_fill((batch.staleness_B <= 0)[:, None], 0.0)
        return log_BA.clamp(max=20.0).exp().clamp(max=limit)

    def ratio(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        """pi / pi_old [B, A]; 1 outside the mask."""
        old_BA = stats.logprobs_BA.detach() if batch.old_logprobs_BA is None else batch.old_logprobs_BA
        return _difference(stats.logprobs_BA, old_BA, batch).clamp(-20.0, 20.0).exp()

    def clipped(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        """[B, A] bool: where clipping makes the gradient 0; the clip fraction counts these."""
        ratio_BA, advantages_B1 = self.ratio(stats, batch), batch.advantages_B[:, None]
        low_BA = (ratio_BA < 1.0 - self.clip_low) & (advantages_B1 < 0)
        return (low_BA | ((ratio_BA > 1.0 + self.clip_high) & (advantages_B1 > 0))) & (batch.mask_BA > 0)

    def measured(self, stats: ActionStats, batch: RolloutBatch) -> dict[str, Tensor]:
        """The clip fraction: 0 while the ratio is 1, as with one update an iteration.

        Where rows are sampled ahead, also the importance weights.
        """
        found = {"policy/clip_fraction": self.clipped(stats, batch).float()}
        if batch.staleness_B is not None and isinstance(weight := self.importance(stats, batch), Tensor):
            found["policy/importance"] = weight
        return found


@dataclass(frozen=True)
class ReferenceKL:
    """coefficient * an estimate of KL(pi || reference) from sampled actions (Schulman, "Approximating KL divergence").

    With d = log reference - log pi: k1 = -d, k2 = d^2 / 2, k3 = e^d - 1 - d. In k3 d is at most 20 nats, so that e^d is
    finite; beyond, the estimate is constant.
    """

    coefficient: float = 0.04
    """0 needs no reference."""
    estimator: Literal["k1", "k2", "k3"] = "k3"
    limit: float | None = None
    """Clamps the estimate to [-limit, limit] (EasyR1 releases 10); None: no bound."""
    reference: str = START
    """Name of the frozen scorer: `START` is the policy before any update, others are configured."""

    def __post_init__(self) -> None:
        if self.estimator not in ("k1", "k2", "k3"):
            raise ValueError(f"estimator must be k1, k2 or k3, got {self.estimator!r}")
        if self.limit is not None and self.limit <= 0:
            raise ValueError(f"limit must be > 0, or None for no limit, got {self.limit}")

    @property
    def needs(self) -> Needs:
        return Needs(references=frozenset({self.reference} if self.coefficient else ()))

    def __call__(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        if not self.coefficient:
            return torch.zeros_like(stats.logprobs_BA)
        return self.coefficient * self.divergence(stats, batch)

    def divergence(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        """The estimate itself [B, A]; ValueError when the batch has no log-probs of the reference."""
        if self.reference not in batch.reference_logprobs:
            raise ValueError(
                f"ReferenceKL needs reference log-probs of {self.reference!r}, and the batch has those of "
                f"{sorted(batch.reference_logprobs)}"
            )
        d_BA = -_difference(stats.logprobs_BA, batch.reference_logprobs[self.reference], batch)
        if self.estimator == "k1":
            divergence_BA = -d_BA
        elif self.estimator == "k2":
            divergence_BA = d_BA.square() / 2
        else:
            bounded_BA = d_BA.clamp(max=20.0)  # in both places: with one, the gradient would push the other way beyond
            divergence_BA = bounded_BA.exp() - 1.0 - bounded_BA
        return divergence_BA if self.limit is None else divergence_BA.clamp(-self.limit, self.limit)

    def measured(self, stats: ActionStats, batch: RolloutBatch) -> dict[str, Tensor]:
        """The estimate without its coefficient; nothing where a coefficient of 0 leaves the reference out."""
        return {f"policy/kl_{self.reference}": self.divergence(stats, batch)} if self.coefficient else {}


@dataclass(frozen=True)
class Entropy:
    """-coefficient * entropy, the entropy bonus. A coefficient of 0 needs no entropy."""

    coefficient: float

    @property
    def needs(self) -> Needs:
        return Needs(entropy=bool(self.coefficient))

    def __call__(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        if not self.coefficient:
            return torch.zeros_like(stats.logprobs_BA)
        if stats.entropy_BA is None:
            raise ValueError("Entropy needs the policy's entropy, and the scorer gave none")
        return _inside(-self.coefficient * stats.entropy_BA, batch)


@dataclass(frozen=True)
class Imitation:
    """-log pi of every action: supervised learning, whatever the advantage."""

    needs = Needs()

    def __call__(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        return _inside(-stats.logprobs_BA, batch)


def _inside(values_BA: Tensor, batch: RolloutBatch) -> Tensor:
    """Sets values outside the mask to 0; a product with the mask would keep NaN."""
    return values_BA.masked_fill(batch.mask_BA <= 0, 0.0)


def _difference(a_BA: Tensor, b_BA: Tensor, batch: RolloutBatch) -> Tensor:
    """a - b inside the mask, 0 outside, in values and in gradients."""
    return _inside(a_BA, batch) - _inside(b_BA, batch)
