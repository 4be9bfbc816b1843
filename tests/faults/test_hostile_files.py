"""Rows that name a device, a pipe, or more bytes than anybody waits for: each is an error of its clip, and soon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from helpers.rendering import Sleeps, render
from PIL import Image

from kairos.core.regular_files import open_regular
from kairos.core.types import Prompt, Target, VideoClip, VideoSource
from kairos.video.budget import PixelBudget
from kairos.video.decoding.guard import Guard
from kairos.video.errors import VideoError
from kairos.video.loader import ClipLoader
from kairos.video.samplers.listed import Listed
from kairos.video.store.caching import cache
from kairos.video.store.clips import ClipStore
from kairos.video.store.content import ContentIndex
from kairos.video.store.hashing import Reading, content_hash

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system"),
    pytest.mark.timeout(60),
]


@pytest.fixture
def loader(tmp_path: Path) -> ClipLoader:
    return ClipLoader(ClipStore(tmp_path / "store"), budget=PixelBudget(factor=32, min_pixels=32 * 32))


def refused(loader: ClipLoader, path: object, message: str, fps: float | None = None) -> None:
    with pytest.raises(VideoError, match=message):
        loader.load(VideoSource(str(path), fps=fps))


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/random", "/dev/tty0"])
def test_a_row_that_names_a_device_fails_alone(loader: ClipLoader, name: str) -> None:
    if not Path(name).exists():
        pytest.skip(f"no {name} on this machine")
    refused(loader, name, f"{name}: it is a device, not a regular file; name a video file or a folder of frames")


def test_a_row_that_names_a_pipe_fails_alone_without_waiting_for_a_writer(loader: ClipLoader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mp4")
    refused(loader, tmp_path / "clip.mp4", r"clip.mp4: it is a named pipe, not a regular file")


def test_a_link_to_a_device_is_a_device_and_a_link_to_a_video_is_a_video(loader: ClipLoader, tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    refused(loader, tmp_path / "zero.mp4", "it is a device")
    (tmp_path / "good.mp4").symlink_to(render(tmp_path / "clip.mp4"))
    assert len(loader.load(VideoSource(str(tmp_path / "good.mp4")))) > 2


@pytest.mark.parametrize("number", [0, 3])
def test_a_pipe_among_a_folders_frames_fails_the_folder(loader: ClipLoader, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for each in range(6):
        Image.new("RGB", (64, 64)).save(folder / f"{each}.png")
    (folder / f"{number}.png").unlink()
    os.mkfifo(folder / f"{number}.png")
    refused(loader, folder, f"{number}.png: it is a named pipe, not a regular file", fps=2.0)
    off = ClipLoader(loader.store, budget=loader.budget, on_miss="off")
    refused(off, folder, f"{number}.png: it is a named pipe, not a regular file", fps=2.0)


def test_a_sparse_terabyte_is_refused_before_it_is_read(loader: ClipLoader, tmp_path: Path) -> None:
    with (tmp_path / "huge.mp4").open("wb") as file:
        file.truncate(1 << 40)
    refused(loader, tmp_path / "huge.mp4", "1099511627776 bytes, more than the 274877906944 .* reading.bytes")


def test_a_slow_disk_has_a_limit_of_time(tmp_path: Path) -> None:
    with (tmp_path / "slow.mp4").open("wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(VideoError, match=r"took more than 1e-06 s; copy it to a faster .*reading.seconds"):
        content_hash(tmp_path / "slow.mp4", Reading(seconds=1e-6))


def test_a_file_that_has_no_size_is_not_read_without_end() -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc on this system")
    with pytest.raises(VideoError, match="it grew while it was read"):
        content_hash(Path("/proc/self/maps"), Reading())


@pytest.mark.parametrize("name", ["a" * 300 + ".mp4", "zero\0byte.mp4", "half\ud800.mp4", "/".join(["d" * 200] * 40)])
def test_a_name_that_no_file_can_have_fails_its_clip(loader: ClipLoader, tmp_path: Path, name: str) -> None:
    refused(loader, f"{tmp_path}/{name}", "no name of a file|cannot be read|there is no such file")


def test_the_decoding_process_opens_no_pipe_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mp4")
    guard = Guard(ClipLoader(ClipStore(tmp_path)).decoder, time_limit=20.0)
    with pytest.raises(VideoError, match=r"clip.mp4: cannot be read \(it is a named pipe, not a regular file\)"):
        guard.open(VideoSource(str(tmp_path / "clip.mp4")))
    guard.close()


def test_what_is_looked_at_and_what_is_opened_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x")
    before = os.stat(tmp_path / "a")  # noqa: PTH116
    monkeypatch.setattr(os, "stat", lambda path: before)
    with pytest.raises(OSError, match="it is a device"):
        open_regular("/dev/zero")


def test_caching_goes_on_behind_hostile_sources_and_names_them(loader: ClipLoader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    sources = [
        VideoSource(str(tmp_path / "pipe.mp4")),
        VideoSource("/dev/zero"),
        VideoSource(str(render(tmp_path / "a.mp4"))),
    ]
    report = cache(sources, loader, workers=2)
    assert (report.written, len(report.failed)) == (1, 2)
    assert sorted(source.path for source, _ in report.failed) == ["/dev/zero", str(tmp_path / "pipe.mp4")]


def test_hashing_can_be_stopped_by_another_thread_and_begun_again(tmp_path: Path) -> None:
    source = VideoSource(str(tmp_path / "large.mp4"))
    with Path(source.path).open("wb") as file:
        file.truncate(128 << 30)
    index, messages = ContentIndex(tmp_path / "store"), []

    def hash_it() -> None:
        try:
            index.of(source)
        except VideoError as error:
            messages.append(str(error))

    thread = threading.Thread(target=hash_it)
    thread.start()
    while thread.is_alive():
        index.stop()
        thread.join(0.05)
    assert messages == [f"{source.path}: reading it was interrupted"]
    os.truncate(source.path, 10)
    assert len(index.of(source)) == 32


_CACHE = """
import sys
from kairos.core.types import Prompt, Target, VideoClip, VideoSource
from kairos.video.loader import ClipLoader
from kairos.video.samplers.listed import Listed
from kairos.video.store.caching import cache
from kairos.video.store.clips import ClipStore
from helpers.rendering import Sleeps
class Says(ClipStore):
    def get(self, source, budget):
        print("begun", flush=True)
        return super().get(source, budget)
loader = ClipLoader(Says(sys.argv[1]), Sleeps())
cache([VideoSource(sys.argv[2])], loader, workers=2)
"""


@pytest.mark.parametrize("what", ["large", "clip"])
def test_caching_ends_at_an_interrupt_while_it_hashes_or_decodes(tmp_path: Path, what: str) -> None:
    path = tmp_path / f"{what}.mp4"
    if what == "large":
        with path.open("wb") as file:
            file.truncate(200 << 30)
    else:
        render(path)
    command = [sys.executable, "-c", _CACHE, str(tmp_path / "store"), str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    assert Sleeps().seconds == 60.0  # longer than is waited here
    threading.Event().wait(1.0)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=20)
    assert process.returncode != 0 and "KeyboardInterrupt" in words


def test_a_store_whose_index_of_contents_is_odd_is_read_without_harm(loader: ClipLoader, tmp_path: Path) -> None:
    source = VideoSource(str(render(tmp_path / "a.mp4")))
    status = Path(source.path).stat()
    loader.store.folder.mkdir(parents=True)
    odd = [
        "[" * 100_000,
        f'[["{source.path}"], 1, 2, "x"]',
        f'["{source.path}", {"9" * 5000}, 2, "x"]',
        '"' + "\udcff" + '"',
    ]
    odd.append(f'["{source.path}", {status.st_size}, {status.st_mtime_ns}, "../../../etc/passwd"]')
    (loader.store.folder / "sources.jsonl").write_text("\n".join(odd), errors="surrogateescape")
    assert len(loader.load(source)) > 2


def test_a_file_of_millions_of_empty_boxes_is_looked_at_in_part(loader: ClipLoader, tmp_path: Path) -> None:
    (tmp_path / "boxes.mp4").write_bytes(b"\0\0\0\x08ftyp" + b"\0\0\0\x08free" * (8 << 20))
    refused(loader, tmp_path / "boxes.mp4", r"truncated: it has no index \(moov box\)")
    index = b"\0\0\0\x08free" * (4 << 20)
    (tmp_path / "index.mp4").write_bytes(b"\0\0\0\x08ftyp" + (8 + len(index)).to_bytes(4, "big") + b"moov" + index)
    refused(loader, tmp_path / "index.mp4", "holds no video stream")


def test_a_pipe_or_an_endless_header_in_the_store_is_a_broken_clip_that_is_made_again(
    loader: ClipLoader, tmp_path: Path
) -> None:
    source = VideoSource(str(render(tmp_path / "a.mp4")))
    loader.load(source)
    [stored] = loader.store.folder.rglob("*.safetensors")
    good = stored.read_bytes()
    stored.unlink()
    os.mkfifo(stored)
    assert not loader.store.has(source, loader.recipe(source))
    stored.unlink()
    with stored.open("wb") as file:
        file.write((1 << 40).to_bytes(8, "little"))
        file.truncate(1 << 41)
    again = loader.load(source)
    assert len(again) > 2 and stored.stat().st_size == len(good)


@pytest.mark.parametrize("seconds", ["[NaN]", "[Infinity]", f"[{'9' * 400}]", "[1, -1e999]"])
def test_a_list_of_frames_without_finite_numbers_names_its_row(tmp_path: Path, seconds: str) -> None:
    (tmp_path / "picks.json").write_text(f'{{"p": {{"seconds": {seconds}}}}}')
    clip = VideoClip("c", torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4.0), 4.0)
    listed = Listed(str(tmp_path / "picks.json"), ClipLoader(ClipStore(tmp_path)))
    with pytest.raises(ValueError, match=r"picks.json, row p: seconds (must be finite|holds a number of hundreds)"):
        listed(Prompt("p", "grounding", "own", clip, "q", Target()), 4)
