"""Random sets of frames: the same at every call, between the bounds, and with the evidence where that is asked for."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, VideoClip
from kairos.video.samplers.random_frames import RandomFrames


def prompt(uid: str, frames: int = 40) -> Prompt:
    clip = VideoClip("a", None, torch.arange(frames) / 2, frames / 2)
    return Prompt(uid, "needle", "test", clip, "?", Target(choice="A", evidence=(Span(5.0, 6.0),)))


def test_a_set_is_a_function_of_the_seed_and_the_prompt() -> None:
    sets = {uid: RandomFrames(seed=1)(prompt(uid), 8) for uid in map(str, range(20))}
    assert all(torch.equal(RandomFrames(seed=1)(prompt(uid), 8), chosen) for uid, chosen in sets.items())
    assert len({tuple(chosen.tolist()) for chosen in sets.values()}) >= 18
    assert any(not torch.equal(RandomFrames(seed=2)(prompt(uid), 8), chosen) for uid, chosen in sets.items())


@pytest.mark.parametrize("frames", [1, 5, 16, 40])
def test_frames_rise_without_repeats_and_keep_the_bounds(frames: int) -> None:
    sizes = Counter()
    for uid in range(300):
        chosen = RandomFrames(fewest=4, shows_evidence=0.5)(prompt(str(uid), frames), 16).tolist()
        assert chosen == sorted(set(chosen)) and chosen[0] >= 0 and chosen[-1] < frames
        sizes[len(chosen)] += 1
    assert min(sizes) == min(4, frames) and max(sizes) == min(16, frames)


def test_frames_are_spread_in_several_ways() -> None:
    steps = [torch.diff(RandomFrames(fewest=8)(prompt(str(uid)), 8)) for uid in range(200)]
    even = sum(int(step.max() - step.min()) <= 1 for step in steps)
    neighbours = sum(int((step == 1).sum()) >= 3 for step in steps)
    assert 40 < even < 100 and 40 < neighbours < 110


def test_evidence_is_shown_as_often_as_asked() -> None:
    def share(shows_evidence: float) -> float:
        sampler = RandomFrames(shows_evidence=shows_evidence)
        shown = [bool(((c := sampler(prompt(str(uid)), 3)) >= 10).logical_and(c <= 12).any()) for uid in range(400)]
        return sum(shown) / 400

    assert share(1.0) == 1.0 and share(0.0) < 0.3 and 0.5 < share(0.5) < 0.75


@pytest.mark.parametrize("wrong", [{"fewest": 0}, {"shows_evidence": 1.5}])
def test_a_sampler_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"sampler.{next(iter(wrong))}"):
        RandomFrames(**wrong)  # type: ignore[arg-type]
