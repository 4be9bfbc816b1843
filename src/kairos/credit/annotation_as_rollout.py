"""An advantage that adds the annotation to the group without shifting its baseline, and prunes most rows (OraRL)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AnnotationAsRollout:
    """Centres on the mean of the policy's rows, bounds the annotation's advantage, and prunes most rows (OraRL).

    1. A = r - mean over the policy's rows. Positive ones are multiplied by
       clip((std of all / (std of the policy's + epsilon)) ^ 1/4, 1, `gain`); then the policy's rows are centred again.
    2. The annotation: w = clip((r - mean) / (r + epsilon), 0, 1)^2, A = min(2 w, clip(1.2 * largest A, 0.05, 1)).
    3. Kept: the annotation, the `positives` rows of largest A > 0, the `negatives` rows of smallest A < 0. All others
       get weight 0.
    4. The kept rows are centred; the annotation is held at or above 0; all are scaled by a factor in [0.25, 1].

    The paper gives these steps and numbers, and mentions "kappa = 0.5" and an "RMS match" without saying what they
    apply to. Chosen here: standard deviations are those of the population; `kappa` multiplies the kept negatives before
    step 4 centres; the factor of step 4 matches the root mean square of the kept rows to that of the policy's
    advantages after step 1; an annotation that is kept alone is neither centred nor scaled (it would vanish). A group
    without an injected row gets r - mean, and all rows are kept.
    """

    gain: float = 4.0
    """Upper bound of the factor in step 1."""
    positives: int = 1
    """Rows of positive advantage that are kept."""
    negatives: int = 2
    """Rows of negative advantage that are kept."""
    kappa: float = 0.5
    """Factor of the kept negatives, in [0, 1]."""
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
        """[G] bool: the rows that step 3 keeps. Advantages up to 1e-9 (rounding errors of equal rewards) count as 0."""
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
