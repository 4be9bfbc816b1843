"""Samplers that follow the scores: the best K, AKS, and the best K that differ."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize

from kairos.core.types import Prompt
from kairos.video.samplers.scores import CosineScores, FrameScores
from kairos.video.samplers.spread import all_or


@dataclass(frozen=True)
class TopK:
    """The K frames of the highest scores, however close together they lie."""

    scores: FrameScores = field(default_factory=CosineScores)

    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        """int64 [min(K, T)], rising."""
        if (every := all_or(len(prompt.clip), count)) is not None:
            return every
        return self.scores(prompt).cpu().topk(count).indices.sort().values


@dataclass(frozen=True)
class AKS:
    """Adaptive keyframe sampling (CVPR 2025) as TSPO's evaluation has it: halve a stretch until its best stand out.

    Scores are scaled to [0, 1] over the clip. A stretch at depth d may take n = int(K / 2^d) frames; where the mean of
    its best n is more than `threshold` above its mean, or `depth` is reached, it gives its best n, else each half is
    asked. TSPO uses 0.2 and 3 for LongVideoBench, 0.8 and 5 for Video-MME. n is rounded down, so that places may be
    left: with `fill` the best frames not taken get them, so that every sampler shows K frames; without, as in TSPO's
    evaluation, fewer are shown.
    """

    scores: FrameScores = field(default_factory=CosineScores)
    threshold: float = 0.2
    depth: int = 3
    fill: bool = True

    def __post_init__(self) -> None:
        if self.depth < 0:
            raise ValueError(f"sampler.depth must be >= 0, got {self.depth}")

    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        """int64 [min(K, T)], rising; without `fill` at most so many."""
        if (every := all_or(len(prompt.clip), count)) is not None:
            return every
        scores_T = self.scores(prompt).cpu()
        scaled_T = (scores_T - scores_T.min()) / (scores_T.max() - scores_T.min()).clamp(min=1e-12)
        taken = torch.tensor(self._of(scaled_T, 0, len(scaled_T), count, 0), dtype=torch.long)
        if self.fill:
            left_T = scaled_T.index_fill(0, taken, -torch.inf)
            taken = torch.cat([taken, left_T.topk(count - len(taken)).indices])
        return taken.sort().values

    def _of(self, scaled_T: Tensor, first: int, end: int, count: int, depth: int) -> list[int]:
        own, budget = scaled_T[first:end], min(count // 2**depth, end - first)
        if budget == 0:
            return []
        best = own.topk(budget)
        if depth == self.depth or end - first < 2 or float(best.values.mean() - own.mean()) > self.threshold:
            return (best.indices + first).tolist()
        middle = (first + end) // 2
        return [
            *self._of(scaled_T, first, middle, count, depth + 1),
            *self._of(scaled_T, middle, end, count, depth + 1),
        ]


@dataclass(frozen=True)
class Diverse:
    """K good frames that differ: a greedy determinantal point process over the frames' features and times.

    The kernel of frames s and t is q_s q_t k(s, t), q = exp(score / `temperature`), and k the product of the cosine of
    their features (below 0: 0) and exp(-(s - t)^2 / (2 `seconds`^2)). Greedy maximisation by an incremental Cholesky
    decomposition (Chen, Zhang and Zhou, NeurIPS 2018): O(T K^2).
    """

    scores: FrameScores = field(default_factory=CosineScores)
    temperature: float = 0.1
    seconds: float = 2.0
    frames: str = "clip"

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.seconds <= 0:
            raise ValueError(
                f"sampler.temperature and sampler.seconds must be > 0, got {self.temperature} and {self.seconds}"
            )

    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        """int64 [min(K, T)], rising."""
        if (every := all_or(len(prompt.clip), count)) is not None:
            return every
        scores_T = self.scores(prompt).cpu().double()
        quality_T = ((scores_T - scores_T.max()) / self.temperature).exp()
        features_TD = normalize(prompt.clip.features[self.frames].cpu().double(), dim=-1)
        seconds_T = prompt.clip.seconds_T.cpu().double()
        rest_T = quality_T.square()  # what a frame adds to the log-determinant, squared
        rows_KT = torch.zeros(count, len(scores_T), dtype=torch.float64)
        taken: list[int] = []
        for k in range(count):
            best = int(rest_T.index_fill(0, torch.tensor(taken, dtype=torch.long), -1.0).argmax())
            near_T = (-(seconds_T - seconds_T[best]).square() / (2 * self.seconds**2)).exp()
            alike_T = (features_TD @ features_TD[best]).clamp(min=0.0)
            kernel_T = quality_T * quality_T[best] * near_T * alike_T
            rows_KT[k] = (kernel_T - rows_KT[:k].T @ rows_KT[:k, best]) / rest_T[best].clamp(min=1e-18).sqrt()
            rest_T = (rest_T - rows_KT[k].square()).clamp(min=0.0)
            taken.append(best)
        return torch.tensor(sorted(taken), dtype=torch.long)
