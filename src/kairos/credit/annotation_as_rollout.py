"""The annotation as one more rollout that shifts no baseline: an estimator that keeps few rows of a group."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AnnotationAsRollout:
    """Advantages from the policy's own mean; a bounded one for the annotation; most rows pruned (OraRL).

    1. A = r - mean over the policy's rows. Positive ones are multiplied by
       clip((std of all / (std of the policy's + epsilon)) ^ 1/4, 1, `gain`); then the policy's rows are centred again.
    2. The annotation: w = clip((r - mean) / (r + epsilon), 0, 1)^2, A = min(2 w, clip(1.2 * largest A, 0.05, 1)).
    3. Kept: the annotation, the `positives` rows of largest A > 0, the `negatives` rows of smallest A < 0. All others
       get weight 0.
    4. The kept rows are centred; the annotation is held at or above 0; all are scaled by a factor in [0.25, 1].

    Published are these steps, the numbers, and a "kappa = 0.5" and an "RMS match" without what they act on. Chosen
    here: standard deviations are those of the population; `kappa` multiplies the kept negatives, before step 4 centres;
    the factor brings the root mean square of the kept rows down to that of the policy's advantages after step 1; an
    annotation that is kept alone is neither centred nor scaled (it would vanish). A group without an injected row is
    step 1 alone, all rows kept: r - mean with the gain at 1.
    """

    gain: float = 4.0
    positives: int = 1
    negatives: int = 2
    kappa: float = 0.5
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        if self.gain < 1 or self.epsilon <= 0:
            raise ValueError(f"gain must be >= 1 and epsilon > 0, got {self.gain} and {self.epsilon}")
        if self.positives < 0 or self.negatives < 0:
            raise ValueError(f"positives and negatives must be >= 0 rows, got {self.positives} and {self.negatives}")
        if not 0 <= self.kappa <= 1:
            raise ValueError(f"kappa must lie in [0, 1], got {self.kappa}")

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]:
        rewards_G, size = rewards_G.double(), len(rewards_G)
        own = rewards_G[on_policy_G]
        if not len(own):
            return torch.zeros(size), torch.ones(size)
        mean = own.mean()
        advantages_G = rewards_G - mean
        if len(own) == size:
            return advantages_G.float(), torch.ones(size)
        advantages_G[on_policy_G] = self._stretched(own - mean, rewards_G)
        spread = advantages_G[on_policy_G].square().mean().sqrt()
        advantages_G[~on_policy_G] = self._bounded(rewards_G[~on_policy_G], mean, advantages_G[on_policy_G].max())
        kept_G = self._kept(advantages_G, on_policy_G)
        if bool((kept_G & on_policy_G).any()):
            advantages_G = self._settled(advantages_G, on_policy_G, kept_G, spread)
        return torch.where(kept_G, advantages_G, 0.0).float(), kept_G.float()

    def _stretched(self, centred: Tensor, rewards_G: Tensor) -> Tensor:
        ratio = rewards_G.std(unbiased=False) / (centred.square().mean().sqrt() + self.epsilon)
        stretched = torch.where(centred > 0, centred * (ratio**0.25).clamp(1.0, self.gain), centred)
        return stretched - stretched.mean()

    def _bounded(self, injected: Tensor, mean: Tensor, best: Tensor) -> Tensor:
        worth = ((injected - mean) / (injected + self.epsilon)).clamp(0.0, 1.0).square()
        return torch.minimum(2.0 * worth, (1.2 * best).clamp(0.05, 1.0))

    def _kept(self, advantages_G: Tensor, on_policy_G: Tensor) -> Tensor:
        """Rows of advantage 0 are neither positive nor negative; rounding errors of equal rewards count as 0."""
        kept_G = ~on_policy_G
        for sign, count in ((1.0, self.positives), (-1.0, self.negatives)):
            strength_G = torch.where(on_policy_G, sign * advantages_G, -torch.inf)
            strongest = strength_G.argsort(descending=True, stable=True)[:count]
            kept_G[strongest[strength_G[strongest] > 1e-9]] = True
        return kept_G

    def _settled(self, advantages_G: Tensor, on_policy_G: Tensor, kept_G: Tensor, spread: Tensor) -> Tensor:
        softened_G = torch.where(on_policy_G & (advantages_G < 0), self.kappa * advantages_G, advantages_G)
        centred_G = softened_G - softened_G[kept_G].mean()
        signed_G = torch.where(on_policy_G, centred_G, centred_G.clamp(min=0.0))
        size = signed_G[kept_G].square().mean().sqrt()
        return signed_G * (spread / (size + self.epsilon)).clamp(0.25, 1.0)
