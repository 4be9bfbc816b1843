"""A decoding process that a hostile file has taken over: what it answers is checked, and what it can do is little."""

from __future__ import annotations

import math
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile_decoders import Answers, Chunks, SaysUnusable, Shouts, Shrinks, Tries
from helpers.rendering import render

from kairos.core.types import VideoSource
from kairos.video.decoding.bounds import Bounds
from kairos.video.decoding.confinement import STDERR_BYTES, environment, offered
from kairos.video.decoding.decoder import Decoder, Probe
from kairos.video.decoding.decoders import Decord
from kairos.video.decoding.guard import Guard
from kairos.video.decoding.wire import Kind, Wire, WireError, pack_chunk, pack_opened, unpack_opened
from kairos.video.errors import DecoderError, VideoError

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no file descriptors are passed there"),
    pytest.mark.timeout(60),
]
PROBE = Probe(frames=3, fps=8.0, width=64, height=64, duration=0.375, version="hostile 1")
TIMES = np.array([0.0, 0.125, 0.25])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> VideoSource:
    return VideoSource(str(render(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=16)))


@pytest.fixture(scope="module")
def given_up() -> Mapping[str, bool]:
    """What this machine lets a process give up."""
    return offered()


def message(kind: int, payload: bytes) -> bytes:
    return struct.pack("<II", kind, len(payload)) + payload


def opened(frames: int = 3, fps: float = 8.0, width: int = 64, height: int = 64, duration: float = 0.375) -> bytes:
    head = struct.pack("<qdqqdI", frames, fps, width, height, duration, 0)
    return message(Kind.OPENED, head + TIMES.tobytes())


def fails(decoder: object, clip: VideoSource, reason: str, bounds: Bounds | None = None, seconds: float = 20.0) -> None:
    """Both opening and reading end in a VideoError that names the clip, and the guard decodes on afterwards."""
    guard = Guard(decoder, seconds, bounds)  # type: ignore[arg-type]
    with pytest.raises(VideoError, match=reason) as caught:
        guard.open(clip)
        list(guard.frames([0, 1, 2]))
    assert "clip.mp4" in str(caught.value)
    with pytest.raises(VideoError, match="no such file"):
        guard.open(VideoSource("none.mp4"))  # of a new process
    guard.close()


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def test_a_pickle_bomb_is_not_unpickled(clip: VideoSource, tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    answers = [struct.pack("!i", len(bomb)) + bomb, *(message(kind, bomb) for kind in Kind), message(77, bomb), bomb]
    for number, raw in enumerate(answers):
        guard = Guard(Answers(raw), 5.0)  # type: ignore[arg-type]
        with pytest.raises((VideoError, DecoderError)):
            guard.open(clip)
        guard.close()
        assert not (tmp_path / "exploded").exists(), number
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists()  # the bomb is one


def test_a_message_longer_than_any_answer_is_refused_before_it_is_read(clip: VideoSource) -> None:
    endless = Answers(struct.pack("<II", Kind.OPENED, 0xFFFFFFFF) + b"x")
    fails(endless, clip, "a message of 4294967295 bytes where at most")


def test_an_answer_that_stops_in_the_middle_runs_into_the_time_limit(clip: VideoSource) -> None:
    fails(Answers(opened()[:-5]), clip, "decoding took more than 0.5 s and was stopped", seconds=0.5)
    fails(Answers(opened()[:3]), clip, "decoding took more than 0.5 s and was stopped", seconds=0.5)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (opened(frames=4), "24 bytes of times for 4 frames"),
        (opened(frames=-3), "24 bytes of times for -3 frames"),
        (opened(frames=1 << 61), f"24 bytes of times for {1 << 61} frames"),
        (opened(fps=math.nan), "nan frames a second"),
        (opened(fps=math.inf), "inf frames a second"),
        (opened(duration=math.nan), "for nan s"),
        (opened(duration=-1.0), "for -1.0 s"),
        (opened(width=-64), "frames of -64x64 pixels"),
        (
            opened(width=1 << 40, height=1 << 20),
            "frames of 1099511627776x1048576 pixels",
        ),
        (message(Kind.OPENED, b"short"), "a description of 5 bytes"),
        (message(Kind.OPENED, pack_opened(PROBE, np.array([0.0, math.nan, 0.2]))), "times that are no numbers"),
        (message(Kind.CHUNK, pack_chunk(0, 3)), "CHUNK where OPENED is expected"),
        (message(Kind.START, b""), "START where OPENED is expected"),
        (message(99, b""), "a message of kind 99"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_numbers_that_no_video_has_are_an_error_of_the_clip(clip: VideoSource, answer: bytes, reason: str) -> None:
    fails(Answers(answer), clip, reason)


@pytest.mark.parametrize("raw", [pack_chunk(1, 3), pack_chunk(0, 1 << 40), pack_chunk(0, 2), b"", b"x" * 100])
def test_a_chunk_beyond_the_shared_memory_is_refused(clip: VideoSource, raw: bytes) -> None:
    fails(Chunks(raw), clip, "another chunk than frames 0 to 3")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sizes are sealed on Linux only")
def test_the_shared_memory_cannot_be_cut_off_under_its_reader(clip: VideoSource) -> None:
    guard = Guard(Shrinks())  # type: ignore[arg-type]
    guard.open(clip)
    with pytest.raises(VideoError, match="shrinking: Operation not permitted"):
        list(guard.frames([0, 1]))


def test_a_file_cannot_talk_a_run_into_believing_that_no_decoder_is_there(clip: VideoSource, tmp_path: Path) -> None:
    poison = VideoSource(str(tmp_path / "poison.mp4"))
    Path(poison.path).write_bytes(Path(clip.path).read_bytes())
    guard = Guard(SaysUnusable())  # type: ignore[arg-type]
    with pytest.raises(DecoderError, match="nothing can be decoded here"):
        guard.open(poison)
    guard.open(clip)
    with pytest.raises(VideoError, match="UNUSABLE where OPENED is expected"):
        guard.open(poison)
    guard.close()


def test_a_failures_text_is_short_and_steers_no_terminal(clip: VideoSource) -> None:
    guard = Guard(Answers(message(Kind.FAILED, b"\x1b[2Jgone\xff\n")))  # type: ignore[arg-type]
    with pytest.raises(VideoError) as caught:
        guard.open(clip)
    assert str(caught.value) == " [2Jgone� "
    guard.close()
    fails(Answers(message(Kind.FAILED, b"x" * (1 << 25))), clip, "a message of 33554432 bytes")


def test_what_it_writes_to_stderr_is_bounded(clip: VideoSource) -> None:
    guard = Guard(Shouts())  # type: ignore[arg-type]
    with pytest.raises(VideoError, match="shouting: File too large"):
        guard.open(clip)
    assert guard._worker is not None
    assert os.fstat(guard._worker.stderr.fileno()).st_size <= STDERR_BYTES
    guard.close()


@pytest.mark.parametrize(
    ("what", "needs"),
    [
        ("connect", "tcp"),
        ("send_a_packet", "network"),
        ("write", "writing"),
        ("append", "writing"),
        ("remove", "writing"),
        ("signal", "signals"),
        ("trace", "network"),
        ("open_many_files", "limits"),
        ("raise_its_limit", "limits"),
        ("raise_its_memory", "limits"),
        ("read_the_environment", "limits"),
    ],
)
def test_the_process_has_given_it_up(
    clip: VideoSource,
    tmp_path: Path,
    given_up: Mapping[str, bool],
    what: str,
    needs: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not given_up[needs]:
        pytest.skip(f"this machine lets no process give up: {needs}")
    monkeypatch.setenv("KAIROS_TEST_SECRET", "token")
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "port").write_text(str(server.getsockname()[1]))
        guard = Guard(Tries(what, str(tmp_path), os.getpid()))  # type: ignore[arg-type]
        with pytest.raises(VideoError, match=f"^{what}: refused"):
            guard.open(clip)
        guard.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["port"]


@pytest.mark.parametrize("what", ["connect", "write", "signal", "read_the_environment"])
def test_a_decoder_that_needs_it_is_left_unconfined(
    clip: VideoSource, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAIROS_TEST_SECRET", "token")
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "port").write_text(str(server.getsockname()[1]))
        guard = Guard(Tries(what, str(tmp_path), os.getpid()), bounds=Bounds(confined=False))  # type: ignore[arg-type]
        with pytest.raises(VideoError, match=f"^{what}: done"):
            guard.open(clip)
        guard.close()


def test_frames_of_a_confined_process_are_those_of_one_that_is_not(clip: VideoSource) -> None:
    def frames(decoder: Decoder, bounds: Bounds) -> list[np.ndarray]:
        guard = Guard(decoder, bounds=bounds)
        assert guard.open(clip).probe.frames == 16
        copies = [chunk.copy() for _, chunk in guard.frames(list(range(16)))]
        guard.close()
        return copies

    one, other = frames(Decord(), Bounds()), frames(Decord(), Bounds(confined=False))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_old_process_is_replaced_between_two_clips(clip: VideoSource, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard(Decord())
    guard.open(clip)
    assert guard._worker is not None
    first = guard._worker.process
    monkeypatch.setattr("kairos.video.decoding.guard._LIFE_SECONDS", 0.0)
    guard.open(clip)
    assert guard._worker.process is not first and first.returncode is not None
    guard.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_description_of_random_bytes_is_refused_or_one_of_a_video(seed: int) -> None:
    draw, whole = random.Random(seed), pack_opened(PROBE, TIMES)
    assert unpack_opened(bytearray(whole))[0] == PROBE
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        data = data[: draw.randint(0, len(data))] if draw.random() < 0.3 else data
        try:
            probe, seconds_N = unpack_opened(data)
        except WireError:
            continue
        assert probe.frames == len(seconds_N) > 0 and np.isfinite(seconds_N).all()
        assert 0 < probe.fps < math.inf and 0 <= probe.duration < math.inf and min(probe.width, probe.height) > 0


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_on_the_pipe_are_no_message_or_an_end(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(200):
        ours, theirs = socket.socketpair()
        theirs.sendall(draw.randbytes(draw.randint(0, 64)))
        theirs.close()
        with pytest.raises((WireError, EOFError)):
            while True:
                Wire(ours).receive(1000, 5.0)
        ours.close()


def test_a_library_that_only_asks_for_a_place_to_write_can_be_imported() -> None:
    program = (
        "import os, tempfile; from kairos.video.decoding.confinement import confine; confine(60); "
        "open(os.devnull, 'w').write('nothing'); os.makedirs(os.environ['TORCHINDUCTOR_CACHE_DIR'], exist_ok=True); "
        "print(tempfile.gettempdir())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == os.sep, run.stderr
