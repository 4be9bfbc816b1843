"""Bad files and bad decoders: each is a VideoError that names the file, what is wrong and the remedy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from helpers.rendering import Dies, Raises, Sleeps, claim_seconds, claim_size, cut, render, render_audio

from kairos.core.types import VideoSource
from kairos.video.decoding.bounds import Bounds
from kairos.video.decoding.decoders import Decord
from kairos.video.decoding.guard import Guard
from kairos.video.errors import VideoError
from kairos.video.loader import ClipLoader


def refused(loader: ClipLoader, path: Path, message: str) -> None:
    with pytest.raises(VideoError, match=message) as caught:
        loader.load(VideoSource(str(path)))
    assert path.name in str(caught.value)
    assert not list(loader.store.folder.rglob("*.safetensors"))


def test_a_missing_file(loader: ClipLoader, tmp_path: Path) -> None:
    refused(loader, tmp_path / "none.mp4", "none.mp4: there is no such file; check the annotation's path")


def test_a_zero_byte_file(loader: ClipLoader, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    refused(loader, tmp_path / "empty.mp4", r"empty.mp4: the file is empty \(0 bytes\); copy or download it again")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_an_mp4_cut_off_before_or_inside_its_index(loader: ClipLoader, tmp_path: Path, share: float) -> None:
    path = cut(render(tmp_path / "clip.mp4"), share)
    refused(loader, path, "truncated: it ends at byte .* copy or download it again")


def test_an_mp4_cut_off_behind_its_index(loader: ClipLoader, tmp_path: Path) -> None:
    path = cut(render(tmp_path / "clip.mp4", movflags="faststart"), 0.8)
    refused(loader, path, "truncated: it ends at byte .* inside its mdat box")


def test_an_mp4_cut_off_between_boxes(loader: ClipLoader, tmp_path: Path) -> None:
    data = render(tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "head.mp4").write_bytes(data[: data.index(b"moov") - 4])
    refused(loader, tmp_path / "head.mp4", r"truncated: it has no index \(moov box\)")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_an_audio_only_file(loader: ClipLoader, tmp_path: Path, suffix: str) -> None:
    refused(
        loader, render_audio(tmp_path / f"sound.{suffix}"), r"holds no video stream \(audio only\?\); leave this row"
    )


@pytest.mark.parametrize("name", ["notes.mp4", "notes.mkv"])
def test_a_file_that_is_no_video(loader: ClipLoader, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not a video at all\n" * 100)
    refused(loader, tmp_path / name, "not a video that FFmpeg can read")


def test_a_one_frame_clip(loader: ClipLoader, tmp_path: Path) -> None:
    path = render(tmp_path / "one.mp4", frames=1)
    refused(loader, path, r"one.mp4: 1 frame\(s\), but a clip needs at least 2; leave this row out")


def test_a_file_that_claims_ten_hours(loader: ClipLoader, tmp_path: Path) -> None:
    path = claim_seconds(render(tmp_path / "clip.mp4"), 36_000)
    refused(loader, path, "lasts 36000 s, more than the 14400 allowed; name start and end of a sub-clip, or raise")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_that_lasts_ten_hours(loader: ClipLoader, tmp_path: Path, suffix: str) -> None:
    path = render(tmp_path / f"long.{suffix}", frames=37, times=[i * 1_000_000 for i in range(37)])
    refused(loader, path, "lasts 36.* s, more than the 14400 allowed; name start and end of a sub-clip, or raise")
    part = loader.load(VideoSource(str(path), start=0.0, end=7200.0))
    assert part.duration == 7200.0 and part.seconds_T.tolist()[-1] == 7000.0


def test_a_file_with_more_frames_than_allowed(loader: ClipLoader, clips: Path) -> None:
    bounded = ClipLoader(loader.store, budget=loader.budget, bounds=Bounds(frames=100))
    refused(bounded, clips / "clip.mp4", "128 frames, more than the 100 allowed; cut it into parts")


def test_a_file_that_claims_16k_pixels_is_refused_before_it_is_decoded(loader: ClipLoader, tmp_path: Path) -> None:
    path = claim_size(render(tmp_path / "clip.mp4"), 16384, 16384)
    refused(
        loader, path, "frames of 16384x16384 pixels, more than the 67108864 allowed; re-encode it smaller, or raise"
    )


def test_a_file_that_claims_to_be_small_but_is_not(loader: ClipLoader, tmp_path: Path) -> None:
    path = claim_size(render(tmp_path / "clip.mp4", frames=8, size=(640, 480)), 64, 64)
    bounded = ClipLoader(loader.store, budget=loader.budget, bounds=Bounds(pixels=100 * 100))
    refused(bounded, path, "frames of 640x480 pixels, more than the 10000 allowed")


def test_an_aspect_ratio_beyond_any_model(loader: ClipLoader, tmp_path: Path) -> None:
    path = render(tmp_path / "thin.mp4", frames=8, size=(2048, 8))
    refused(loader, path, "frames of 2048x8 pixels: the aspect ratio must not exceed 200")


def test_a_decoder_that_hangs_is_stopped(loader: ClipLoader, clips: Path) -> None:
    slow = ClipLoader(loader.store, Sleeps(), loader.budget, time_limit=0.5)
    begun = time.monotonic()
    refused(slow, clips / "clip.mp4", r"decoding took more than 0.5 s and was stopped \(the decoder hangs.* time_limit")
    assert time.monotonic() - begun < 10


def test_a_decoder_that_crashes_spoils_one_clip_only(loader: ClipLoader, clips: Path, tmp_path: Path) -> None:
    fragile = ClipLoader(loader.store, Dies(), loader.budget)
    poison = tmp_path / "poison.mp4"
    poison.write_bytes((clips / "clip.mp4").read_bytes())
    refused(fragile, poison, r"poison.mp4: the decoder crashed on it \(signal SIGSEGV\)")
    assert len(fragile.load(VideoSource(str(clips / "short.mp4")))) == 6


def test_a_bug_of_a_decoder_is_named(loader: ClipLoader, clips: Path) -> None:
    buggy = ClipLoader(loader.store, Raises(), loader.budget)
    refused(buggy, clips / "clip.mp4", r"the decoder crashed on it \(exit status 1: ZeroDivisionError: a bug of the")


def test_a_decoding_process_that_may_not_have_the_memory_fails_alone(clips: Path) -> None:
    guard = Guard(Decord(), bounds=Bounds(memory=1 << 20))
    with pytest.raises(ValueError):
        guard.open(VideoSource(str(clips / "clip.mp4")))
    guard.close()


def test_the_decoding_process_is_reused_and_survives_a_change_of_mind(clips: Path) -> None:
    guard = Guard(Decord())
    first, second = VideoSource(str(clips / "clip.mp4")), VideoSource(str(clips / "wide.mp4"))
    assert guard.open(first).probe.frames == 128
    assert guard._worker is not None
    process = guard._worker.process
    assert guard.open(second).probe.frames == 16  # nobody asked for the first one's frames
    assert [frames.shape for _, frames in guard.frames([0, 7])] == [(2, 128, 256, 3)]
    with pytest.raises(VideoError, match="no such file"):
        guard.open(VideoSource("none.mp4"))
    assert guard.open(first).probe.width == 64
    assert guard._worker.process is process
    guard.close()
    assert process.returncode is not None


def test_frames_come_in_bounded_chunks_in_order(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard(Decord())
    source = VideoSource(str(clips / "clip.mp4"))
    guard.open(source)
    [(_, whole)] = [(first, frames.copy()) for first, frames in guard.frames(list(range(0, 128, 3)))]
    monkeypatch.setattr("kairos.video.decoding.guard._CHUNK_BYTES", 5 * 64 * 64 * 3)
    guard.open(source)
    pieces = [(first, frames.copy()) for first, frames in guard.frames(list(range(0, 128, 3)))]
    assert [first for first, _ in pieces] == list(range(0, 43, 5))
    assert all((whole[first : first + len(frames)] == frames).all() for first, frames in pieces)
    guard.close()


def test_a_decoder_must_be_importable() -> None:
    class Local(Sleeps):
        pass

    Local.__module__ = "__main__"
    with pytest.raises(ValueError, match=r"decoder Local is defined in __main__.* define it in a module"):
        Guard(Local())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["seconds", "frames", "pixels", "memory"])
def test_bounds_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"bounds.{name} must be positive, got 0"):
        Bounds(**{name: 0})
