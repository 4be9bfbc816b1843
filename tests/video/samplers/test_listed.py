"""A JSON file names each prompt's frames: by index, by seconds, or by the frame numbers of the video file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from kairos.core.types import Prompt, Target, VideoSource
from kairos.data.mini.world import MiniWorld
from kairos.video.budget import PixelBudget
from kairos.video.loader import ClipLoader
from kairos.video.samplers.listed import Listed
from kairos.video.store.clips import ClipStore


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> ClipLoader:
    folder = tmp_path_factory.mktemp("store")
    return ClipLoader(ClipStore(str(folder)), budget=PixelBudget(factor=32, min_pixels=4096, max_pixels=4096))


@pytest.fixture(scope="module")
def prompt(loader: ClipLoader, tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    """About a real clip of 16 s: 32 frames, of a file of 64."""
    record = MiniWorld(str(tmp_path_factory.mktemp("mini")), "val", clips=1).records()[0]
    return Prompt("set/val:7", "choice", "mini", loader.load(record.video), "what?", Target())


@pytest.fixture
def listed(tmp_path: Path, loader: ClipLoader):
    def write(tree: object) -> Listed:
        file = tmp_path / "picks.json"
        file.write_text(tree if isinstance(tree, str) else json.dumps(tree))
        return Listed(str(file), loader)

    return write


def test_indices_of_the_clips_frames(listed, prompt: Prompt):
    assert listed({"set/val:7": [9, 2, 31, 2]})(prompt, 4).tolist() == [2, 9, 31], "in time, none of them twice"
    assert listed([{"uid": "set/val:7", "frames": [2]}, {"uid": "b", "frames": [3]}])(prompt, 4).tolist() == [2]


def test_seconds_take_the_nearest_frame(listed, prompt: Prompt):
    seconds = prompt.clip.seconds_T.tolist()
    wanted = [seconds[3] + 0.1, seconds[30] - 0.1, prompt.clip.duration]
    assert listed({"set/val:7": {"seconds": wanted}})(prompt, 4).tolist() == [3, 30, 31]


def test_frame_numbers_of_the_file_take_the_frames_shown_at_their_times(listed, prompt: Prompt, loader: ClipLoader):
    """Rows of the patched lmms-eval: the question's id, and floats that are frame numbers of the file."""
    assert prompt.clip.source is not None
    every = loader.frame_seconds(prompt.clip.source).tolist()
    assert len(every) == 2 * len(prompt.clip), "a frame of the file is not a frame of the clip"
    wanted = [5, 20, 31]
    numbers = [float(every.index(prompt.clip.seconds_T[frame].item())) for frame in wanted]
    assert numbers != wanted
    rows = [{"id": 8, "frame_idx": [0.0]}, {"id": 7, "question": "what?", "frame_idx": numbers}]
    assert listed(rows)(prompt, 4).tolist() == wanted


def test_frame_numbers_count_from_the_files_start_in_a_part_of_it(listed, prompt: Prompt, loader: ClipLoader):
    assert prompt.clip.source is not None
    part = loader.load(VideoSource(prompt.clip.source.path, 4.0, 12.0))
    every = loader.frame_seconds(prompt.clip.source)
    number = int((every >= 6.0).argmax())
    index = listed({"p": {"frame_idx": [number]}})(Prompt("p", "choice", "mini", part, "what?", Target()), 2)
    assert part.seconds_T[index].tolist() == pytest.approx([every[number] - 4.0], abs=0.26)


def test_a_clip_with_fewer_frames_than_k_is_shown_whole_as_by_every_sampler(listed, prompt: Prompt):
    assert len(listed({"set/val:7": [2]})(prompt, 32)) == 32


def test_a_worker_reads_the_file_itself(listed, prompt: Prompt):
    sampler = listed({"set/val:7": [2]})
    assert sampler(prompt, 4).tolist() == [2]
    assert "rows" not in pickle.loads(pickle.dumps(sampler)).__dict__


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ("{", r"picks.json is not JSON in UTF-8: Expecting property name"),
        ("3", r"picks.json must hold a list of rows or a mapping"),
        ({"other": [1]}, r"picks.json has no row for prompt set/val:7: it has 1, the first for other"),
        ([{"frames": [1]}], r"picks.json, row 0: has no field uid or id or question_id.*sampler.name="),
        ({"set/val:7": [1, 32]}, r"row set/val:7: names frame 32, but the clip has 32 frames \(0 to 31\)"),
        ({"set/val:7": [-1]}, r"row set/val:7: names frame -1, but"),
        ({"set/val:7": {"seconds": [1.0, 99.5]}}, r"row set/val:7: names 99.5 s, but the clip lasts 16 s"),
        ({"set/val:7": {"frame_idx": [9999]}}, r"row set/val:7: names frame_idx 9999, but .*\.mp4 has \d+ frames"),
        ({"set/val:7": [1.5]}, r'frames must be whole numbers, got \[1.5\]; times stand in "seconds"'),
        ({"set/val:7": "all"}, r"row set/val:7: frames must be a list of numbers, got 'all'"),
        ({"set/val:7": []}, r"row set/val:7: lists no frames"),
        ({"set/val:7": {"picks": [1]}}, r"has none of the fields seconds, frame_idx, frames"),
        ({"set/val:7": [1, 2, 3, 4, 5]}, r"row set/val:7: lists 5 frames, but shown_frames=4"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_row(tree: object, said: str, listed, prompt: Prompt):
    with pytest.raises(ValueError, match=said):
        listed(tree)(prompt, 4)


def test_a_file_that_is_not_there_is_named(prompt: Prompt, loader: ClipLoader):
    with pytest.raises(ValueError, match=r"picks=gone.json: no such file; scripts/pick_frames.py writes one"):
        Listed("gone.json", loader)(prompt, 4)
