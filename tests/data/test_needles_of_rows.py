"""Needles as TSPO-10K's rows make them, composed of clips in memory: counts, evidence, and parts that fail."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from statistics import mean

import pytest
import torch

from kairos.core.types import Failure, Prompt, Rollout, RolloutGroup, Target, VideoClip, VideoSource
from kairos.credit.rewards.evidence import EvidenceShare, shows_evidence
from kairos.data.needles import NeedleDataset
from kairos.data.records import Record
from kairos.video.composed import ComposedClip
from kairos.video.errors import VideoError

SECONDS = (30, 50, 90, 128, 150, 180)


def record(number: int, task: str = "needle", video: int | None = None) -> Record:
    source = VideoSource(f"{number if video is None else video}.mp4")
    return Record(f"row-{number}", task, "s", source, "What?", Target(choice="A"), ("a", "b"))


RECORDS = [*(record(number) for number in range(24)), record(24, "choice"), record(25, video=0)]
"""Needles about 24 videos, a question about another one as a whole, and a second one about the first video."""


@dataclass(frozen=True)
class Seconds:
    """Clips of one frame a second, without pixels; `<n>.mp4` lasts `SECONDS[n % 6]`. `lacks` cannot be decoded."""

    lacks: str | None = None

    def load(self, source: VideoSource) -> VideoClip:
        if source.path == self.lacks:
            raise VideoError(f"{source.path}: no frame can be decoded; replace the file")
        frames = SECONDS[int(source.path.removesuffix(".mp4")) % len(SECONDS)]
        return VideoClip(source.path, None, torch.arange(frames, dtype=torch.float64), float(frames))


def composed(index: int, seed: int = 0) -> tuple[Prompt, ComposedClip]:
    prompt = NeedleDataset(RECORDS, Seconds(), seed=seed)[index]
    assert isinstance(prompt, Prompt) and isinstance(prompt.clip, ComposedClip)
    return prompt, prompt.clip


def test_a_needle_is_fifty_frames_of_each_of_its_clips_and_its_copies_are_the_evidence():
    """T = 50 (12 + r), and 50 r frames show the target."""
    copies = Counter()
    for seed in range(4):
        for index in range(24):
            prompt, clip = composed(index, seed)
            shows = shows_evidence(prompt)
            count = int(shows.sum()) // 50
            copies[count] += 1
            assert len(clip) == 50 * (12 + count) and int(shows.sum()) == 50 * count
            assert torch.equal(shows, clip.part_T == 0)
            assert torch.equal(clip.seconds_T, torch.arange(len(clip), dtype=torch.float64))
            assert clip.duration == len(clip), "one frame a second"
            slots_N50 = clip.part_T.reshape(-1, 50)
            assert torch.equal(slots_N50, slots_N50[:, :1].expand(-1, 50)), "clips are shuffled, not their frames"
            assert sorted(slots_N50[:, 0].tolist()) == sorted([0] * count + list(range(1, 13)))
    assert set(copies) == {1, 2, 3, 4} and min(copies.values()) >= 12, "24 of each are expected"


@pytest.mark.parametrize("copies", [1, 2, 3, 4])
def test_frames_chosen_at_random_show_the_target_by_chance(copies: int):
    """R_T = r / (12 + r): 7.7, 14.3, 20 and 25 %."""
    dataset = NeedleDataset(RECORDS, Seconds())
    dataset.composition = replace(dataset.composition, copies=(copies, copies))
    prompt = dataset[2]
    assert isinstance(prompt, Prompt)
    sets = tuple(Rollout("", torch.randperm(len(prompt.clip))[:16]) for _ in range(2000))
    found = EvidenceShare()(RolloutGroup(prompt, sets)).tolist()
    assert mean(found) == pytest.approx(copies / (12 + copies), abs=0.01)


def test_each_copy_is_its_own_choice_of_the_targets_frames_in_order():
    """All frames of a target of 50; at random of 51 to 128; of 128 evenly spread ones where there are more or fewer."""
    for index, frames in enumerate(SECONDS):
        prompt, clip = next(found for seed in range(9) if (found := composed(index, seed))[1].part_T.eq(0).sum() > 50)
        chosen_R50 = clip.index_T[clip.part_T == 0].reshape(-1, 50)
        assert all(torch.equal(row, row.sort().values) for row in chosen_R50)
        spread = torch.linspace(0, frames - 1, 128).round().long()
        allowed = torch.arange(frames) if 50 <= frames <= 128 else spread
        assert set(chosen_R50.flatten().tolist()) <= set(allowed.tolist())
        most = max(Counter(row.tolist()).most_common(1)[0][1] for row in chosen_R50)
        assert (most > 1) == (frames < 50), "only a target of fewer frames repeats some"
        assert torch.equal(chosen_R50[0], chosen_R50[1]) == (frames == 50), prompt.uid


def test_distractors_are_other_videos_of_all_rows_each_once_and_evenly_spread():
    seen = set()
    for index in (0, 25, 7):
        for seed in range(30):
            prompt, clip = composed(index, seed)
            videos = [part.uid for part in clip.parts]
            assert videos[0] == RECORDS[index].video.path and len(set(videos)) == 13, prompt.uid
            seen |= set(videos[1:]) if index == 25 else set()
            for number, part in enumerate(clip.parts[1:], start=1):
                spread = torch.linspace(0, len(part) - 1, 50).round().long()
                assert torch.equal(clip.index_T[clip.part_T == number], spread)
    assert seen == {f"{number}.mp4" for number in range(1, 25)}, "the row about a whole video lends its own too"


@pytest.mark.parametrize(("seconds", "candidates"), [(30, 30), (50, 50), (90, 90), (128, 128), (180, 128)])
def test_a_clip_asked_about_as_a_whole_gives_128_candidates_at_most(seconds: int, candidates: int):
    whole = record(SECONDS.index(seconds), "choice")
    prompt = NeedleDataset([whole], Seconds())[0]
    assert isinstance(prompt, Prompt) and isinstance(prompt.clip, ComposedClip)
    clip = prompt.clip
    assert len(clip) == candidates and clip.duration == seconds and not prompt.target.evidence
    assert torch.equal(clip.seconds_T, clip.parts[0].seconds_T[clip.index_T]), "frames keep their own times"
    assert clip.seconds_T[0] == 0 and clip.seconds_T[-1] == seconds - 1


def test_a_part_that_cannot_be_decoded_fails_the_prompt_with_its_name_and_a_remedy():
    _, clip = composed(3)
    for part, remedy in ((clip.parts[0].uid, "replace the file"), (clip.parts[5].uid, "leave the rows of this video")):
        failed = NeedleDataset(RECORDS, Seconds(lacks=part))[3]
        assert isinstance(failed, Failure) and failed.uid == "row-3"
        assert f"{part}: no frame can be decoded" in failed.reason and remedy in failed.reason
    assert "the needle row-3" in failed.reason, "a distractor's failure names the target's row"
