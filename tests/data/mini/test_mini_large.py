"""The mini world at the size and duration of real data: the same questions, larger pictures, a paper's token budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from kairos.compose import compose, part
from kairos.data.mini.render import frames
from kairos.data.mini.world import MiniWorld
from kairos.video.budget import PixelBudget


def test_a_large_clip_has_the_size_and_duration_that_were_asked_for(tmp_path: Path):
    world = MiniWorld(str(tmp_path), "train", 1, tasks=["grounding"], width=640, height=360, seconds=31.0)
    records = world.records()
    with av.open(records[0].video.path) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.frames) == (640, 360, 124)
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    for record in records:
        span = record.target.spans[0]
        assert record.duration == 31.0 and 0 <= span.start < span.end <= 31.0
    span = records[0].target.spans[0]
    before, within = shown[int(span.start * 4) - 1].astype(int), shown[int(span.start * 4)].astype(int)
    assert (abs(within - before).max(axis=-1) > 60).mean() > 0.02, "the shape appears when the annotation says so"


def test_the_ordinary_world_keeps_its_bytes_and_places(tmp_path: Path):
    """Pixels as they were before pictures could be larger: frame by frame against a whole array painted at once."""
    world = MiniWorld(str(tmp_path), "train", 2)
    assert world.path(0).parent.parent.name == "train-32bffa09"
    scene = world.scene(0)
    video = frames(scene)
    assert video.shape == (64, 64, 64, 3)
    for thing in scene.things:
        outside = [k for k in range(64) if not thing.span.start * 4 <= k < thing.span.end * 4]
        inside = round((thing.span.start + thing.span.end) * 2)
        x, y = (round(c) for c in thing.centre(inside / 4))
        others = [t for t in scene.things if t is not thing and t.span.start * 4 <= inside < t.span.end * 4]
        assert others or not np.array_equal(video[inside, y, x], video[outside[0], y, x])
    assert world.path(0) != MiniWorld(str(tmp_path), "train", 2, width=128).path(0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"width": 641}, "even and >= 64, got 641x64"), ({"height": 32}, "got 64x32"), ({"seconds": 8.0}, ">= 16, got 8")],
)
def test_impossible_pictures_are_refused(changed: dict[str, float], said: str, tmp_path: Path):
    with pytest.raises(ValueError, match=said):
        replace(MiniWorld(str(tmp_path), "train", 1), **changed)


VISUAL_TOKENS = {
    # experiment: (seconds, frames, height, width, tokens, share of the budget)
    "timezero_charades_7b": (31, 62, 224, 392, 3472, 0.97),
    "timezero_activitynet_7b": (150, 300, 84, 168, 2700, 0.75),  # all that 300 frames in whole tokens have room for
    "time_r1_timerft_7b": (150, 300, 84, 168, 2700, 0.75),
    "temporal_r1_charades_3b": (31, 62, 168, 280, 1860, 0.91),
    "tempsamp_timelens_4b": (150, 300, 224, 416, 13650, 0.95),
    "tempsamp_charades_7b": (31, 62, 224, 392, 3472, 0.97),
}


@pytest.mark.parametrize("experiment", VISUAL_TOKENS)
def test_what_a_generated_clip_yields_under_each_papers_budget(experiment: str):
    seconds, count, height, width, tokens, share = VISUAL_TOKENS[experiment]
    node = compose([f"experiment={experiment}", "data=mini_large", f"data.seconds={seconds}"])
    assert node.data.width == 640 and node.data.height == 360 and node.data.train.records.seconds == seconds
    budget = part(node.frames)
    assert isinstance(budget, PixelBudget)
    assert budget.frames(seconds * 4, 4.0) == count
    assert budget.size(360, 640, count) == (height, width)
    assert budget.tokens(count, height, width) == tokens
    assert tokens / (budget.total / budget.factor**2) == pytest.approx(share, abs=0.01)
