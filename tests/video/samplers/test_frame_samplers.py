"""Frame samplers: each rule against its definition, the same K for every arm, and clips with fewer frames than K."""

from __future__ import annotations

import pytest
import torch

from kairos.core.protocols import FrameSampler
from kairos.core.types import Prompt, Target, VideoClip
from kairos.video.samplers.best import AKS, Diverse, TopK
from kairos.video.samplers.scores import CosineScores
from kairos.video.samplers.spread import BinMax, InverseTransform, Uniform, even

ARMS: list[FrameSampler] = [Uniform(), TopK(), BinMax(), InverseTransform(), Diverse()]


def prompt(frames: int = 100, seed: int = 0) -> Prompt:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(frames, 16, generator=generator)
    clip = VideoClip("c", None, torch.arange(frames).double(), float(frames), {"clip": features})
    question = {"question": torch.randn(16, generator=generator)}
    return Prompt("p", "needle", "toy", clip, "what?", Target(), features=question)


def scored(scores: list[float]) -> Prompt:
    """A prompt whose cosine scores rank as `scores`: frames are (s, sqrt(1 - s^2)), the question is (1, 0)."""
    s = torch.tensor(scores)
    features = torch.stack([s, (1 - s.square()).sqrt()], -1)
    clip = VideoClip("c", None, torch.arange(len(s)).double(), float(len(s)), {"clip": features})
    return Prompt("p", "needle", "toy", clip, "what?", Target(), features={"question": torch.tensor([1.0, 0.0])})


@pytest.mark.parametrize("sampler", ARMS, ids=lambda arm: type(arm).__name__)
@pytest.mark.parametrize("count", [1, 4, 16, 64])
def test_every_arm_shows_as_many_frames_in_the_order_of_time(sampler: FrameSampler, count: int) -> None:
    index = sampler(prompt(), count)
    assert index.dtype == torch.int64 and len(index) == count
    assert (index.diff() > 0).all() and int(index[0]) >= 0 and int(index[-1]) < 100


@pytest.mark.parametrize("sampler", [*ARMS, AKS()], ids=lambda arm: type(arm).__name__)
def test_a_clip_with_fewer_frames_is_shown_whole_by_every_arm(sampler: FrameSampler) -> None:
    assert sampler(prompt(5), 8).tolist() == [0, 1, 2, 3, 4]
    assert sampler(prompt(8), 8).tolist() == list(range(8))
    with pytest.raises(ValueError, match="at least one frame"):
        sampler(prompt(), 0)


def test_uniform_takes_the_first_and_the_last() -> None:
    assert Uniform()(prompt(10), 4).tolist() == [0, 3, 6, 9]
    assert Uniform()(prompt(10), 1).tolist() == [4]


def test_top_k_takes_the_best_even_when_they_are_neighbours() -> None:
    assert TopK()(scored([0.1, 0.9, 0.8, 0.7, 0.0, 0.2]), 3).tolist() == [1, 2, 3]


@pytest.mark.parametrize(("frames", "count"), [(100, 7), (64, 63), (10, 3), (3600, 64)])
def test_bin_max_takes_the_best_frame_of_each_bin(frames: int, count: int) -> None:
    question = prompt(frames)
    scores, centres = CosineScores()(question), even(frames, count).tolist()
    nearest = [min(range(count), key=lambda k: (abs(t - centres[k]), k)) for t in range(frames)]
    expected = [
        max((t for t in range(frames) if nearest[t] == k), key=lambda t: float(scores[t])) for k in range(count)
    ]
    assert BinMax()(question, count).tolist() == expected


def test_aks_takes_the_best_of_a_stretch_that_stands_out() -> None:
    """16 frames, K 4, depth 1. One peak stands out of the whole clip; two peaks do not when the bar is out of reach."""
    peak = [0.1] * 16
    peak[3:7] = [0.9] * 4
    assert AKS(threshold=0.2, depth=1)(scored(peak), 4).tolist() == [3, 4, 5, 6]
    split = AKS(threshold=2.0, depth=1)(scored([s / 20 for s in range(16)]), 4)
    assert split.tolist() == [6, 7, 14, 15], "each half gives the best two of its own"


def test_aks_rounds_budgets_down_and_may_show_fewer() -> None:
    released = AKS(threshold=2.0, depth=3, fill=False)
    assert len(released(prompt(100), 12)) == 8, "8 leaves of int(12 / 8) = 1 frame"
    assert len(AKS(threshold=2.0, depth=5, fill=False)(prompt(100), 16)) == 0, "32 leaves of int(16 / 32) = 0 frames"
    filled = AKS(threshold=2.0, depth=3)(prompt(100), 12)
    assert len(filled) == 12 and set(released(prompt(100), 12).tolist()) < set(filled.tolist())
    assert len(AKS(threshold=2.0, depth=5)(prompt(100), 16)) == 16


def test_inverse_transform_follows_the_scores() -> None:
    flat = InverseTransform(power=1.0)(scored([0.5, 0.6] * 20), 8)
    assert all(int(t) % 2 for t in flat), "only frames of the higher score have any weight"
    peaked = InverseTransform()(scored([0.0] * 30 + [0.9] * 10 + [0.0] * 30), 8)
    assert all(30 <= int(t) < 40 for t in peaked)


def test_diversity_spreads_over_peaks_that_top_k_would_take_one_by_one() -> None:
    scores = [0.1] * 60
    scores[10:16], scores[40:46] = [0.95, 0.94, 0.93, 0.92, 0.91, 0.90], [0.89, 0.88, 0.87, 0.86, 0.85, 0.84]
    question = scored(scores)
    assert TopK()(question, 4).tolist() == [10, 11, 12, 13]
    chosen = Diverse(seconds=3.0)(question, 4)
    assert any(10 <= int(t) < 16 for t in chosen) and any(40 <= int(t) < 46 for t in chosen)


def test_the_greedy_choice_is_that_of_the_determinants() -> None:
    """Each frame added is the one that makes the determinant of the kernel of all chosen the largest."""
    question, count = prompt(12, seed=3), 4
    sampler = Diverse(temperature=0.5, seconds=3.0)
    scores = CosineScores()(question).double()
    quality = ((scores - scores.max()) / 0.5).exp()
    features = torch.nn.functional.normalize(question.clip.features["clip"].double(), dim=-1)
    times = question.clip.seconds_T
    near = (-(times[:, None] - times).square() / (2 * 3.0**2)).exp()
    kernel = quality[:, None] * quality * near * (features @ features.T).clamp(min=0)
    taken: list[int] = []
    for _ in range(count):
        left = [t for t in range(12) if t not in taken]
        taken.append(max(left, key=lambda t: float(kernel[[*taken, t]][:, [*taken, t]].det())))
    assert sampler(question, count).tolist() == sorted(taken)


def test_scores_say_which_feature_is_missing() -> None:
    blind = Prompt("p", "needle", "toy", VideoClip("c", None, torch.arange(9.0), 9.0), "what?", Target())
    with pytest.raises(ValueError, match=r"prompt p: .*'clip' of the clip.*enrich="):
        TopK()(blind, 3)
