"""Frames at their times, over containers, codecs and ways of timing; and what is noticed where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from helpers.benchmark import benchmark
from helpers.rendering import cut, render
from helpers.wrong_decoders import Late, Timed
from rich.console import Console

from kairos.core.types import VideoSource
from kairos.video.budget import PixelBudget
from kairos.video.decoding.comparison import Comparison
from kairos.video.decoding.decoder import Decoder
from kairos.video.decoding.decoders import Decord, InOrder
from kairos.video.decoding.guard import Guard
from kairos.video.decoding.in_order.access import Access, access
from kairos.video.decoding.in_order.by_time import ByTime
from kairos.video.decoding.in_order.opening import open_in_order
from kairos.video.decoding.in_order.picture_times import picture_times
from kairos.video.decoding.in_order.video_file import VideoFile
from kairos.video.errors import VideoError
from kairos.video.loader import ClipLoader
from kairos.video.store.caching import cache
from kairos.video.store.clips import ClipStore

containers = benchmark("containers")
BUDGET = PixelBudget(factor=32, min_pixels=32 * 32, fps=25.0)
PRIMING = 1024 / 16_000  # seconds by which an encoder of sound begins before the sound, which MPEG-TS does not hide


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("containers")


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    guard = Guard(Decord(), comparison=Comparison(share=1.0))
    yield guard
    guard.close()


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return ClipStore(tmp_path / "store")


def written(video, folder: Path) -> Path:
    path = folder / f"{abs(hash(video))}.{video.container}"
    if not path.exists():
        try:
            containers.render(video, path)
        except ValueError as error:
            pytest.skip(str(error))
    return path


def frames_of(guard: Guard, path: Path, index_N: list[int]) -> list[int | None]:
    guard.open(VideoSource(str(path)))
    return [containers.number_of(image) for _, chunk in guard.frames(index_N) for image in chunk]


@pytest.mark.parametrize("video", containers.VIDEOS, ids=str)
def test_every_frame_is_at_its_time(video, folder: Path, guard: Guard) -> None:
    path = written(video, folder)
    found = containers.distance(video, path, "kairos", containers.reading(guard))
    assert found.refused == "" and found.unreadable == 0
    assert found.seconds <= (PRIMING if video.sound_first else 0.0) + 1e-3


def test_the_measure_sees_frames_at_a_wrong_time(folder: Path) -> None:
    video = containers.Video("mp4", "libx264")
    off = containers.distance(video, written(video, folder), "late", containers.bare(Late(10)))
    assert off.seconds == pytest.approx(10 / containers.FPS, abs=1e-3)


@pytest.mark.parametrize(
    ("video", "found"),
    [
        (containers.Video("mp4", "libx264", 2), Access.RANDOM),
        (containers.Video("mov", "libx264", 2), Access.RANDOM),
        (containers.Video("3gp", "h263"), Access.RANDOM),
        (containers.Video("mp4", "libx264", 2, variable=True), Access.RANDOM),
        (containers.Video("mp4", "libx264", 2, open_groups=True), Access.IN_ORDER),
        (containers.Video("mp4", "mpeg4", 2), Access.IN_ORDER),
        (containers.Video("mp4", "libx264", 2, hidden=5), Access.IN_ORDER),
        (containers.Video("mp4", "libx264", 2, sound_first=1.0), Access.IN_ORDER),
        (containers.Video("mp4", "libx264", 2, fragmented=True), Access.IN_ORDER),
        (containers.Video("mkv", "libx264", 2), Access.IN_ORDER),
        (containers.Video("ts", "libx264", 2), Access.IN_ORDER),
    ],
    ids=str,
)
def test_only_files_that_can_be_jumped_into_are_given_to_the_decoder(video, found: Access, folder: Path) -> None:
    assert access(str(written(video, folder))) is found


def test_the_key_of_a_stored_clip_says_who_decoded_it(folder: Path, store: ClipStore) -> None:
    loader = ClipLoader(store, budget=BUDGET)
    for video, decoder in (
        (containers.Video("mp4", "libx264", 2), Decord()),
        (containers.Video("mp4", "mpeg4", 2), InOrder()),
        (containers.Video("ts", "libx264", 2), InOrder()),
    ):
        source = VideoSource(str(written(video, folder)))
        loader.load(source)
        about = store.about(source, loader.recipe(source))
        assert about is not None and dict(decoder.describe()).items() <= about["key"].items()  # type: ignore[union-attr]
        assert str(about["decoded_by"]).startswith(decoder.describe()["decoder"])
    loader.close()


def test_an_index_that_claims_billions_of_samples_is_not_spelled_out(folder: Path, tmp_path: Path) -> None:
    data = bytearray(written(containers.Video("mp4", "libx264"), folder).read_bytes())
    counts = data.index(b"stts") + 12
    data[counts : counts + 4] = b"\xff" * 4
    (tmp_path / "many.mp4").write_bytes(data)
    assert access(str(tmp_path / "many.mp4")) is Access.IN_ORDER


@pytest.mark.parametrize(
    "video", [containers.Video("mkv", "libx264", 2, open_groups=True), containers.Video("wmv", "wmv2")], ids=str
)
def test_frames_are_the_same_wherever_reading_begins(video, folder: Path, guard: Guard) -> None:
    path = written(video, folder)
    for begin in range(0, containers.FRAMES - 3, 13):
        index_N = list(range(begin, begin + 3))
        assert frames_of(guard, path, index_N) == index_N


def test_a_reader_can_go_back(folder: Path) -> None:
    for video in (containers.Video("mkv", "libx264", 2, open_groups=True), containers.Video("wmv", "wmv2")):
        reader = open_in_order(str(written(video, folder)), threads=1)
        out = np.empty((1, containers.SIDE, containers.SIDE, 3), np.uint8)
        for index in (100, 3, 50, 49, 0, 119):
            reader.read([index], out)
            assert containers.number_of(out[0]) == index


def test_a_container_that_seeks_too_far_is_decoded_from_the_start(folder: Path) -> None:
    class SeeksFar(VideoFile):
        sought = 0

        def seek(self, stamp: int) -> None:
            self.sought += 1
            super().seek(10**9)

    path = str(written(containers.Video("mkv", "libx264", 2), folder))
    plain = open_in_order(path, threads=1)
    assert isinstance(plain, ByTime)
    file = SeeksFar(path, threads=1)
    reader = ByTime(path, file, plain._stamps_N, plain._keys_K)
    out = np.empty((3, containers.SIDE, containers.SIDE, 3), np.uint8)
    for index_N in ([60, 61, 90], [7, 8, 30]):
        reader.read(index_N, out)
        assert [containers.number_of(image) for image in out] == index_N
    assert file.sought == 1  # once was enough to see that it does not help


def test_a_broadcast_that_begins_within_a_group_has_the_frames_that_can_be_decoded(
    folder: Path, tmp_path: Path, guard: Guard
) -> None:
    whole = written(containers.Video("ts", "libx264", 2), folder).read_bytes()
    tables, rest = whole[: 188 * 3], whole[188 * 3 :]
    (tmp_path / "joined.ts").write_bytes(tables + rest[len(rest) // 188 // 4 * 188 :])
    opened = guard.open(VideoSource(str(tmp_path / "joined.ts")))
    numbers = frames_of(guard, tmp_path / "joined.ts", list(range(opened.probe.frames)))
    readable = [(second, n) for second, n in zip(opened.seconds_N, numbers, strict=True) if n is not None]
    assert 24 <= len(readable) < containers.FRAMES
    first, number = readable[0]
    assert [n for _, n in readable] == list(range(number, containers.FRAMES))
    assert all(second - first == pytest.approx((n - number) / containers.FPS, abs=1e-3) for second, n in readable)


def test_a_file_cut_off_behind_its_header_is_named(folder: Path, tmp_path: Path, guard: Guard) -> None:
    (tmp_path / "clip.mpg").write_bytes(written(containers.Video("mpg", "mpeg2video", 2), folder).read_bytes())
    path = cut(tmp_path / "clip.mpg", 0.01)
    with pytest.raises(VideoError, match=path.name):
        guard.open(VideoSource(str(path)))


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (Timed((float("nan"),)), "frame 63 would be shown at nan s by timed 1, which is no time; re-encode it: ffmpeg"),
        (Timed((-1e14,)), r"frame 63 would be shown at -1e\+14 s by timed 1, which is no time"),
        (Timed((-0.2, *(i / 8 for i in range(63)))), "frame 0 would be shown at -0.2 s"),
        (Timed((7.8, 7.8)), "times that do not rise: timed 1 gives frame 62 7.8 s and frame 63 7.8 s; re-encode"),
        (Timed((9.5,)), "timed 1 shows the last frame at 9.5 s, but the file says that it lasts 8 s; re-encode"),
        (Timed((), frames=65), "timed 1 finds 65 frames and 64 times"),
    ],
)
def test_times_that_cannot_be_are_refused_whoever_decodes(
    decoder: Decoder, message: str, tmp_path: Path, store: ClipStore
) -> None:
    loader = ClipLoader(store, decoder, BUDGET)
    with pytest.raises(VideoError, match=message) as caught:
        loader.load(VideoSource(str(render(tmp_path / "clip.mp4"))))
    assert "clip.mp4" in str(caught.value)
    loader.close()


@pytest.mark.parametrize(("frames", "off"), [(24, "0.96"), (-12, "0.48")])
def test_caching_names_a_file_whose_frames_are_not_those_of_a_decode_from_the_start(
    frames: int, off: str, folder: Path, store: ClipStore
) -> None:
    path = written(containers.Video("mp4", "libx264", 2), folder)
    loader = ClipLoader(store, Late(frames), BUDGET, comparison=Comparison(share=1.0))
    report = cache([VideoSource(str(path))], loader, workers=1, console=Console(file=StringIO()))
    assert report.written == 0
    [(_, reason)] = report.failed
    assert path.name in reason and f"late 1 shows at 1.20 s the picture of {1.2 + frames / 25:.2f} s" in reason
    assert f"{off} s off in this file (mov,mp4," in reason and "re-encode it: ffmpeg" in reason
    unchecked = replace(loader, comparison=Comparison(share=0.0))
    assert cache([VideoSource(str(path))], unchecked, workers=1, console=Console(file=StringIO())).written == 1


def test_a_still_scene_is_no_difference(tmp_path: Path, store: ClipStore) -> None:
    path = render(tmp_path / "still.mp4", frames=32, size=(256, 256), still=True)
    loader = ClipLoader(store, Decord(), BUDGET, comparison=Comparison(share=1.0))
    assert len(loader.load(VideoSource(str(path)))) == 32
    loader.close()


def test_real_clips_are_what_a_decode_from_the_start_shows(real_data: Path, store: ClipStore) -> None:
    loader = ClipLoader(store, comparison=Comparison(share=1.0, frames=5))
    for path in sorted(path for path in (real_data / "videos").iterdir() if path.suffix in (".mp4", ".mkv")):
        assert len(loader.load(VideoSource(str(path)))) > 1
    loader.close()


def test_the_share_of_compared_files_is_kept() -> None:
    chosen = sum(Comparison(share=0.1).chooses(f"/videos/{number}.mp4") for number in range(2000))
    assert 150 < chosen < 250
    assert Comparison(share=0.1).chooses("/a/7.mp4") == Comparison(share=0.1).chooses("/b/7.mp4")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("share", 1.5, r"comparison.share must lie in \[0, 1\], got 1.5"),
        ("frames", 0, "comparison.frames must be >= 1, got 0; share=0 compares none"),
        ("seconds", 0.0, "comparison.seconds must be positive, got 0.0"),
    ],
)
def test_a_comparison_is_checked(field: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Comparison(**{field: value})  # type: ignore[arg-type]


def test_pictures_without_times_of_their_own_get_them_by_rule() -> None:
    def times(*arguments: object) -> list[float] | None:
        found = picture_times(*arguments)  # type: ignore[arg-type]
        return None if found is None else found.tolist()

    rising, wrong = [4, 8, 12], [4, 12, 8]
    assert times(rising, [0, 4, 8], 4.0, False) == rising  # their own, if they rise
    assert times(rising, [0, 4, 8], 4.0, True) == [0, 4, 8]  # slots, where the container has no more than that
    assert times(wrong, [8, 0, 4, None], 4.0, False) == [0, 4, 8]  # decoding times, one a picture
    assert times(wrong, [0, 4], 4.0, False) == [4, 8, 12]  # a constant rate
    assert times([4, None, 12], [0, 4], 4.0, False) == [4, 8, 12]
    assert times(wrong, [0, 4], 0.0, False) is None  # no rate is known
    assert times([4, 40, 8], [0, 4], 4.0, False) is None  # further away than pictures are reordered
