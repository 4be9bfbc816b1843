"""Frames and captions of the mini world: what is said is shown, and nothing is asked."""

from __future__ import annotations

import numpy as np
import pytest

from kairos.data.mini.captions import EMPTY, FACTS, CaptionedFrames, caption
from kairos.data.mini.questions import wordings
from kairos.data.mini.render import frames, image
from kairos.data.mini.scene import COLOURS, HELD_OUT, LONG, draw_scene


@pytest.fixture(scope="module")
def data() -> CaptionedFrames:
    return CaptionedFrames(210)


def test_frames_are_as_many_and_as_varied_as_promised(data: CaptionedFrames):
    assert data.frames.shape == (210, 3, 64, 64) and data.frames.dtype == np.uint8
    counts = np.bincount([min(len(names), 2) for names in data.names], minlength=3) / 210
    assert abs(counts - [1 / 7, 11 / 21, 1 / 3]).max() < 0.12
    held_out = {f"{colour} {shape}" for colour, shape in HELD_OUT.items()}
    assert not held_out & {name for names in data.names for name in names}


def test_a_frame_shows_the_colours_of_its_things(data: CaptionedFrames):
    for frame, names, true in zip(data.frames, data.names, data.facts, strict=True):
        assert {FACTS[i] for i in np.flatnonzero(true)} == ({*names} or {"nothing"})
        for colour, value in COLOURS.items():
            near = (abs(frame.astype(int) - np.array(value)[:, None, None]).max(0) < 40).sum()
            assert (near > 30) == any(name.startswith(colour) for name in names), (colour, near, names)


def test_a_caption_names_all_that_its_frame_shows_and_is_no_question(data: CaptionedFrames):
    rng, said = np.random.default_rng(0), set()
    for names in data.names * 5:
        text = caption(names, rng)
        assert sorted(part.removeprefix("a ") for part in text.split(" and ")) == sorted(names) or text in EMPTY
        assert (text in EMPTY) == (not names)
        said.add(text)
    assert len(said) > 80 and not said & set(wordings()) and not any("?" in text for text in said)


def test_the_same_seed_draws_the_same_and_another_split_other_frames(data: CaptionedFrames):
    assert np.array_equal(CaptionedFrames(5).frames, data.frames[:5])
    assert not np.array_equal(CaptionedFrames(5, "val").frames, data.frames[:5])
    assert not np.array_equal(CaptionedFrames(5, seed=1).frames, data.frames[:5])


def test_one_frame_is_that_of_the_whole_scene():
    scene = draw_scene(LONG, 3)
    assert all(np.array_equal(image(scene, k), frame) for k, frame in enumerate(frames(scene)))


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="frames must be >= 1"):
        CaptionedFrames(0)
