"""A random set of frames, of random number and spacing: what an answerer of chosen frames is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kairos.core.seeds import mix
from kairos.core.spans import inside
from kairos.core.types import Prompt
from kairos.video.samplers.spread import all_or

WAYS = ("scattered", "bursts", "even")


@dataclass(frozen=True)
class RandomFrames:
    """From `fewest` to K frames, chosen in one of three ways: scattered at random, in bursts of neighbours, or evenly.

    The number of frames, the way and the frames are a function of (seed, uid). For supervised training only, where the
    annotation writes the answer anyway: with probability `shows_evidence` the set has at least one frame of the
    target's evidence, and as many more as a draw says.
    """

    fewest: int = 1
    """Least number of frames; every number from here to K is equally likely."""
    shows_evidence: float = 0.0
    """Share of the prompts with evidence whose frames show it for certain; the others show it by chance."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fewest < 1:
            raise ValueError(f"sampler.fewest must be >= 1 frame, got {self.fewest}")
        if not 0 <= self.shows_evidence <= 1:
            raise ValueError(f"sampler.shows_evidence must lie in [0, 1], got {self.shows_evidence}")

    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        """int64, rising; between min(fewest, K, T) and min(K, T) frames. K = `count`."""
        frames = len(prompt.clip)
        all_or(frames, count)
        rng = np.random.default_rng(mix(self.seed, "random frames", prompt.uid))
        most = min(count, frames)
        number = int(rng.integers(min(self.fewest, most), most + 1))
        chosen = _CHOOSE[WAYS[rng.integers(len(WAYS))]](frames, number, rng)
        shown = inside(prompt.clip.seconds_T, prompt.target.evidence).nonzero().flatten().numpy()
        if len(shown) and rng.random() < self.shows_evidence:
            kept = rng.permutation(shown)[: int(rng.integers(1, number + 1))]
            others = rng.permutation(np.setdiff1d(chosen, kept))[: number - len(kept)]
            chosen = np.concatenate([kept, others])
        return torch.from_numpy(np.sort(chosen).astype(np.int64))


def _scattered(frames: int, number: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(frames)[:number]


def _bursts(frames: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Runs of two to four neighbours, until there are enough frames."""
    chosen: list[int] = []
    while len(chosen) < number:
        first, length = int(rng.integers(frames)), int(rng.integers(2, 5))
        run = [k for k in range(first, min(first + length, frames)) if k not in chosen]
        chosen += run[: number - len(chosen)]
    return np.asarray(chosen)


def _even(frames: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """One in each of `number` equal parts of the clip, always at the same place of its part."""
    return np.floor((np.arange(number) + rng.random()) * frames / number)


_CHOOSE = {"scattered": _scattered, "bursts": _bursts, "even": _even}
