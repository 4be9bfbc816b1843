"""Frames and captions of the mini world: what is said is shown, and nothing is asked."""

from __future__ import annotations

import numpy as np
import pytest

from kairos.data.mini.captions import FACTS, CaptionedFrames, caption
from kairos.data.mini.questions import wordings
from kairos.data.mini.render import frames, image
from kairos.data.mini.scene import COLOURS, HELD_OUT, LONG, SHAPES, draw_scene


@pytest.fixture(scope="module")
def data() -> CaptionedFrames:
    return CaptionedFrames(210)


def test_frames_are_as_many_and_as_varied_as_promised(data: CaptionedFrames):
    assert data.frames.shape == (210, 3, 64, 64) and data.frames.dtype == np.uint8
    counts = np.bincount([min(len(names), 2) for names in data.names], minlength=3) / 210
    assert abs(counts - [1 / 7, 11 / 21, 1 / 3]).max() < 0.12
    held_out = {f"{colour} {shape}" for colour, shape in HELD_OUT.items()}
    assert not held_out & {name for names in data.names for name in names}


def test_a_frame_shows_the_colours_of_its_facts(data: CaptionedFrames):
    for frame, names, facts in zip(data.frames, data.names, data.facts, strict=True):
        true = {FACTS[i] for i in np.flatnonzero(facts)}
        assert true == ({*names, *" ".join(names).split()} or {"nothing"})
        for colour, value in COLOURS.items():
            near = (abs(frame.astype(int) - np.array(value)[:, None, None]).max(0) < 40).sum()
            assert (near > 30) == (colour in true), (colour, near, names)


def test_every_caption_is_true_of_its_frame_and_names_only_what_it_states(data: CaptionedFrames):
    rng, said = np.random.default_rng(0), set()
    for names, facts in zip(data.names * 5, np.concatenate([data.facts] * 5), strict=True):
        text, stated = caption(names, rng)
        assert (facts | ~stated).all(), f"{text} of {names}"
        stated_words = set(" ".join(FACTS[i] for i in np.flatnonzero(stated)).split()) & {*COLOURS, *SHAPES}
        assert stated_words == set(text.split()) & {*COLOURS, *SHAPES}
        said.add(text)
    assert len(said) > 100 and not said & set(wordings()) and not any("?" in text for text in said)


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
