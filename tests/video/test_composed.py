"""A composed clip is a view: its frames, times, features and names are those of its parts."""

from __future__ import annotations

import pickle

import pytest
import torch

from kairos.core.types import VideoClip
from kairos.video.composed import ComposedClip


def part(uid: str, frames: int, size: int = 4, content: str | None = "x") -> VideoClip:
    pixels = torch.randint(0, 256, (frames, 3, size, size), dtype=torch.uint8)
    return VideoClip(uid, pixels, torch.arange(frames).double(), float(frames), content=content and f"{content}-{uid}")


def composed(*parts: VideoClip) -> ComposedClip:
    part_T, index_T = torch.tensor([0, 1, 1, 0]), torch.tensor([2, 0, 4, 0])
    return ComposedClip("c", None, torch.arange(4).double() / 2, 2.0, parts=parts, part_T=part_T, index_T=index_T)


def test_taken_frames_are_those_of_the_parts_at_the_times_of_the_view() -> None:
    a, b = part("a", 3), part("b", 5)
    clip = composed(a, b)
    assert clip.frames_TCHW is None and len(clip) == 4
    taken = clip.take(torch.tensor([0, 2, 3]))
    assert taken.frames_TCHW is not None and a.frames_TCHW is not None and b.frames_TCHW is not None
    assert torch.equal(taken.frames_TCHW, torch.stack([a.frames_TCHW[2], b.frames_TCHW[4], a.frames_TCHW[0]]))
    assert taken.seconds_T.tolist() == [0.0, 1.0, 1.5] and taken.duration == 2.0


def test_frames_are_named_as_in_their_parts_and_the_same_after_taking() -> None:
    clip = composed(part("a", 3), part("b", 5))
    assert clip.frame_names() == ["x-a:2", "x-b:0", "x-b:4", "x-a:0"]
    assert clip.take(torch.tensor([1, 3])).frame_names() == ["x-b:0", "x-a:0"]
    assert clip.take(torch.tensor([1, 3])).take(torch.tensor([1])).frame_names() == ["x-a:0"]
    assert composed(part("a", 3), part("b", 5, content=None)).frame_names() is None


def test_frames_of_another_size_are_resized_and_named_otherwise() -> None:
    clip = composed(part("a", 3), part("b", 5, size=8))
    taken = clip.take(torch.arange(4))
    assert taken.frames_TCHW is not None and taken.frames_TCHW.shape == (4, 3, 4, 4)
    assert clip.frame_names() == ["x-a:2", "x-b:0@4x4", "x-b:4@4x4", "x-a:0"]


def test_what_is_computed_for_each_part_comes_in_the_order_of_the_view() -> None:
    clip = composed(part("a", 3), part("b", 5))
    numbers = clip.per_frame(lambda of: torch.arange(len(of))[:, None] + (100 if of.uid == "b" else 0))
    assert numbers.squeeze(1).tolist() == [2, 100, 104, 0]


def test_a_view_is_pickled_with_its_parts() -> None:
    clip = composed(part("a", 3), part("b", 5))
    again = pickle.loads(pickle.dumps(clip))
    frames, same = clip.take(torch.arange(4)).frames_TCHW, again.take(torch.arange(4)).frames_TCHW
    assert frames is not None and torch.equal(frames, same)


def test_a_view_of_frames_that_are_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"part 1 \(b\) has 3 frames, but 0 to 4 of them are asked for"):
        composed(part("a", 3), part("b", 3))
    with pytest.raises(ValueError, match="has parts and no frames"):
        composed()
