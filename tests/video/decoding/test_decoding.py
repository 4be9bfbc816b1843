"""Decoding: which frames come, with which times, from files, sub-clips and folders."""

from __future__ import annotations

import json
from pathlib import Path

import decord
import numpy as np
import pytest
import torch
from helpers.rendering import render
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from kairos.core.types import VideoSource
from kairos.video.budget import PixelBudget
from kairos.video.decoding.decoders import Decord
from kairos.video.decoding.guard import Guard
from kairos.video.errors import VideoError
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore


def test_a_clip_is_what_bare_decord_and_torchvision_give(loader: ClipLoader, clips: Path) -> None:
    loader = ClipLoader(loader.store, budget=PixelBudget(factor=28, min_pixels=28 * 28, max_pixels=20_000))
    path = str(clips / "wide.mp4")
    clip = loader.load(VideoSource(path))
    index = loader.budget.indices(16, 8.0)
    raw = torch.from_numpy(decord.VideoReader(path).get_batch(index).asnumpy()).permute(0, 3, 1, 2)
    expected = tv.resize(raw, [84, 196], interpolation=InterpolationMode.BICUBIC, antialias=True)
    assert clip.frames_TCHW is not None and clip.frames_TCHW.dtype == torch.uint8
    assert torch.equal(clip.frames_TCHW, expected)
    assert clip.seconds_T.tolist() == pytest.approx([i / 8 for i in index])
    assert clip.duration == pytest.approx(2.0)


def test_a_sub_clip_has_only_its_frames_and_times_from_its_start(loader: ClipLoader, clips: Path) -> None:
    whole = loader.load(VideoSource(str(clips / "clip.mp4")))
    part = loader.load(VideoSource(str(clips / "clip.mp4"), start=4.0, end=8.0))
    assert whole.frames_TCHW is not None and part.frames_TCHW is not None
    assert (len(whole), len(part)) == (32, 8)
    assert part.duration == pytest.approx(4.0)
    assert part.seconds_T[0] == 0.0 and float(part.seconds_T[-1]) < 4.0
    every = ClipLoader(loader.store, budget=PixelBudget(factor=32, min_pixels=1024, fps=8.0))
    dense = every.load(VideoSource(str(clips / "clip.mp4")))
    assert dense.frames_TCHW is not None
    chosen = (32 + part.seconds_T * 8).round().long()
    assert torch.equal(part.frames_TCHW, dense.frames_TCHW[chosen])
    assert part.uid != whole.uid


def test_an_end_behind_the_video_is_the_end_of_the_video(loader: ClipLoader, clips: Path) -> None:
    clip = loader.load(VideoSource(str(clips / "clip.mp4"), start=12.0, end=99.0))
    assert clip.duration == pytest.approx(4.0)
    assert len(clip) == 8


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (20.0, 24.0, r"starts at 20 s, behind the end of the video \(16 s\)"),
        (5.0, 3.0, "from 5 to 3 s is reversed or has no length"),
        (5.0, 5.0, "is reversed or has no length"),
        (float("nan"), 5.0, "from nan to 5.0 s is no span"),
        (-1.0, 5.0, "is no span"),
        (4.01, 4.05, r"clip.mp4\[4.01:4.05\]: 0 frame\(s\), but a clip needs at least 2; .* name a longer part"),
    ],
)
def test_a_sub_clip_that_cannot_be_is_named(
    loader: ClipLoader, clips: Path, start: float, end: float, message: str
) -> None:
    with pytest.raises(VideoError, match=message):
        loader.load(VideoSource(str(clips / "clip.mp4"), start=start, end=end))


def test_times_of_a_variable_frame_rate_are_the_files_own(loader: ClipLoader, tmp_path: Path) -> None:
    times = [
        0,
        100,
        200,
        300,
        400,
        500,
        1000,
        1500,
        2000,
        2500,
        3000,
        3100,
        3200,
        3300,
        3400,
        3500,
        5000,
        5100,
        5200,
        9000,
    ]
    path = render(tmp_path / "variable.mp4", frames=20, times=times)
    budget = PixelBudget(factor=32, min_pixels=1024, fps=30.0)
    clip = ClipLoader(loader.store, budget=budget).load(VideoSource(str(path)))
    assert clip.seconds_T.tolist() == pytest.approx([t / 1000 for t in times], abs=1e-3)
    part = ClipLoader(loader.store, budget=budget).load(VideoSource(str(path), start=1.0, end=3.05))
    assert part.seconds_T.tolist() == pytest.approx([0.0, 0.5, 1.5, 2.0], abs=1e-3)  # 4 of the 5 frames in [1, 3.05)


def test_a_folder_of_frames_is_a_clip_in_natural_order(loader: ClipLoader, tmp_path: Path) -> None:
    for number in range(12):
        Image.new("RGB", (64, 64), (number * 20, 0, 0)).save(tmp_path / f"frame_{number}.png")
    clip = loader.load(VideoSource(str(tmp_path), fps=4.0))
    assert clip.frames_TCHW is not None
    assert clip.duration == 3.0
    assert len(clip) == 6
    assert clip.frames_TCHW[:, 0, 0, 0].tolist() == [int(i) * 20 for i in np.linspace(0, 11, 6).round()]
    assert clip.seconds_T.tolist() == [float(i) / 4 for i in np.linspace(0, 11, 6).round()]


def test_a_folder_of_frames_that_cannot_be_read_is_named(loader: ClipLoader, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    with pytest.raises(VideoError, match="a folder without images"):
        loader.load(VideoSource(str(folder), fps=4.0))
    for number in range(4):
        Image.new("RGB", (64, 64)).save(folder / f"{number}.png")
    with pytest.raises(VideoError, match="needs its frame rate, got fps=None"):
        loader.load(VideoSource(str(folder)))
    Image.new("RGB", (32, 32)).save(folder / "2.png")
    with pytest.raises(VideoError, match=r"2.png: 32x32 pixels, but the folder's first image has 64x64"):
        loader.load(VideoSource(str(folder), fps=4.0))
    (folder / "2.png").write_bytes((folder / "1.png").read_bytes()[:70])
    with pytest.raises(VideoError, match=r"2.png: not a readable image .*; write it again"):
        loader.load(VideoSource(str(folder), fps=4.0))


def test_a_probe_says_what_the_file_is(loader: ClipLoader, clips: Path) -> None:
    probe = loader.probe(VideoSource(str(clips / "wide.mp4")))
    assert (probe.frames, probe.fps, probe.width, probe.height) == (16, 8.0, 256, 128)
    assert probe.duration == pytest.approx(2.0)
    assert probe.version == f"decord {decord.__version__}"


def test_decord_is_bit_equal_to_the_golden_frame_and_its_times(real_data: Path) -> None:
    path = real_data / "videos/nasa_13013.mp4"
    guard = Guard(Decord())
    opened = guard.open(VideoSource(str(path)))
    golden = torch.load(real_data / "videos/golden/nasa_13013.mp4.stream3.frame000015.pt", weights_only=True)
    [(_, frames)] = list(guard.frames([15]))
    assert np.array_equal(frames[0], golden.numpy())
    rows = json.loads((real_data / "videos/golden/nasa_13013.mp4.stream3.all_frames_info.json").read_text())
    times = np.array([float(row["pts_time"]) for row in rows])
    assert len(times) == 390
    assert np.abs(opened.seconds_N - times).max() <= 1e-6
    guard.close()


def test_the_charades_clip_decodes_to_the_papers_budget(real_data: Path, store: ClipStore) -> None:
    budget = PixelBudget(factor=28, min_pixels=16 * 28**2, total_pixels=3584 * 28**2)
    clip = ClipLoader(store, budget=budget).load(VideoSource(str(real_data / "videos/OHOFG.mp4")))
    assert clip.frames_TCHW is not None
    assert tuple(clip.frames_TCHW.shape) == (70, 3, 196, 364)
    assert budget.tokens(70, 196, 364) == 3185
    assert clip.duration == pytest.approx(35.1415, abs=1e-3)


def test_other_containers_decode_too(real_data: Path, loader: ClipLoader) -> None:
    clip = loader.load(VideoSource(str(real_data / "videos/flipping_a_pancake.mkv")))
    assert len(clip) == 20
