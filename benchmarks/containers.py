"""Measures how far from their times frames are read, over containers, codecs and ways of timing.

    python benchmarks/containers.py [--alone] [--out results/containers.json]

Renders small videos whose frames carry their number as black and white blocks, reads them as Kairos does (and with
`--alone` by bare decord and bare torchcodec too), and compares the time given for each frame with the one at which the
frame of that number was to be shown. What the encoders here cannot write is left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from rich.console import Console
from rich.table import Table

from kairos.core.types import VideoSource
from kairos.video.decoding.decoder import Decoder
from kairos.video.decoding.decoders import Decord, Torchcodec
from kairos.video.decoding.guard import Guard
from kairos.video.errors import DecoderError, VideoError

Reading = Callable[[str], Iterator[tuple[float, np.ndarray]]]
"""From a file to (seconds, frame) of what is read of it."""
FPS = 25
FRAMES = 120
SIDE = 64
_TICKS = 90_000
_FORMATS = {"ts": "mpegts", "mpg": "mpeg", "vob": "vob", "wmv": "asf"}
_OPEN = {"x264-params": "open-gop=1:bframes=2:keyint=24:min-keyint=24"}


@dataclass(frozen=True)
class Video:
    """A video to render."""

    container: str
    """The file's suffix."""
    codec: str
    b_frames: int = 0
    """Pictures in a row that refer to a later one."""
    variable: bool = False
    """The rate changes every ten frames; else 25 frames a second."""
    sound_first: float = 0.0
    """Seconds of sound before the first picture; 0: no sound."""
    hidden: int = 0
    """Frames that an edit list hides at the beginning (MP4 only)."""
    open_groups: bool = False
    """Pictures may refer to the keyframe behind them (H.264)."""
    fragmented: bool = False
    """The index is spread over the file (MP4 only)."""

    def __str__(self) -> str:
        kinds = {
            f"{self.b_frames} B-frames": self.b_frames, "open groups": self.open_groups, "variable rate": self.variable,
            "sound first": self.sound_first, "edit list": self.hidden, "fragmented": self.fragmented,
        }  # fmt: skip
        return ", ".join([f"{self.container} {self.codec}", *(name for name, on in kinds.items() if on)])

    def seconds(self) -> np.ndarray:
        """When each frame is to be shown, in seconds since the file begins [FRAMES]; negative for hidden ones."""
        steps = [1 + number // 10 % 3 if self.variable else 1 for number in range(FRAMES)]
        frames_N = np.concatenate([[0], np.cumsum(steps)[:-1]])
        return (frames_N - self.hidden) / FPS + self.sound_first


VIDEOS = (
    *(Video("mp4", codec, b) for codec, b in (("libx264", 0), ("libx264", 2), ("libx265", 2), ("mpeg4", 2))),
    Video("mp4", "libx264", 2, variable=True),
    Video("mp4", "mpeg4", 2, variable=True),
    Video("mp4", "libx264", 2, sound_first=1.0),
    Video("mp4", "libx264", 2, hidden=5),
    Video("mp4", "mpeg4", 2, hidden=30),
    Video("mp4", "libx264", 2, open_groups=True),
    Video("mp4", "libx264", 2, fragmented=True),
    Video("mov", "libx264", 2),
    Video("mov", "mpeg4", 2),
    *(Video("mkv", codec, b) for codec, b in (("libx264", 2), ("mpeg2video", 2), ("mpeg4", 2), ("libvpx-vp9", 0))),
    Video("mkv", "libx264", 2, open_groups=True),
    Video("mkv", "libx264", 2, variable=True),
    Video("mkv", "libx264", 2, sound_first=1.0),
    *(Video("webm", codec, variable=variable) for codec in ("libvpx", "libvpx-vp9") for variable in (False, True)),
    *(Video("avi", codec, b) for codec, b in (("mjpeg", 0), ("mpeg4", 0), ("mpeg4", 2), ("libx264", 2))),
    Video("flv", "flv"),
    Video("flv", "libx264", 2),
    Video("flv", "libx264", 2, variable=True),
    *(Video("3gp", codec, b) for codec, b in (("h263", 0), ("libx264", 2), ("mpeg4", 2))),
    *(Video("ts", codec, b) for codec, b in (("libx264", 0), ("libx264", 2), ("libx265", 2), ("mpeg2video", 2))),
    Video("ts", "libx264", 2, variable=True),
    Video("ts", "libx264", 2, sound_first=1.0),
    *(Video("mpg", codec, b) for codec, b in (("mpeg1video", 0), ("mpeg1video", 2), ("mpeg2video", 2))),
    Video("vob", "mpeg2video", 2),
    *(Video("wmv", codec) for codec in ("wmv1", "wmv2", "msmpeg4")),
    Video("wmv", "wmv2", variable=True),
    Video("wmv", "libx264", 2),
)


@dataclass(frozen=True)
class Distance:
    """How far from their times the frames of one video were read."""

    video: str
    reader: str
    seconds: float | None
    """The largest distance; None where the file was refused."""
    unreadable: int = 0
    """Frames that showed no number: broken pictures."""
    refused: str = ""
    """Why."""


def render(video: Video, path: Path) -> Path:
    """Write the video. ValueError where the encoders here cannot."""
    movie = {"movflags": "frag_keyframe+empty_moov"} if video.fragmented else {}
    base = Fraction(1, _TICKS if video.codec.startswith("lib") else 1000 if video.variable else FPS)
    width, height = (176, 144) if video.codec == "h263" else (SIDE, SIDE)
    try:
        with av.open(str(path), "w", format=_FORMATS.get(video.container), options=movie) as file:
            stream = cast("VideoStream", file.add_stream(video.codec, rate=FPS))
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if video.codec == "mjpeg" else "yuv420p"
            stream.options = _options(video)
            if not video.codec.startswith("libvpx"):
                stream.bit_rate = 2_000_000
            stream.codec_context.time_base = base
            if video.sound_first:
                _add_silence(file)
            for number, second in enumerate(video.seconds() + video.hidden / FPS):
                image = np.zeros((height, width, 3), np.uint8)
                image[:SIDE, :SIDE] = _blocks(number)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = round(Fraction(second).limit_denominator(FPS) / base), base
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    except (av.error.FFmpegError, ValueError) as error:
        raise ValueError(f"{video}: cannot be written here ({error})") from error
    if video.hidden:
        _hide(path, video.hidden)
    return path


def number_of(image_HWC: np.ndarray) -> int | None:
    """The number that a frame shows; None where its blocks contradict each other."""
    step = SIDE // 4
    grey = (
        image_HWC[:SIDE, :SIDE].mean(-1).reshape(4, step, 4, step)[:, step // 4 : -step // 4, :, step // 4 : -step // 4]
    )
    bits = [bool(bit) for bit in (grey.mean((1, 3)) > 128).ravel()]
    number = sum(bit << place for place, bit in enumerate(bits[:8]))
    return number if number == sum((not bit) << place for place, bit in enumerate(bits[8:])) else None


def measure(videos: Sequence[Video] = VIDEOS, alone: bool = False) -> list[Distance]:
    """Every video read as Kairos does; with `alone`, by the bare decoders that are installed too."""
    readers: dict[str, Reading] = {"kairos": guarded(Decord())}
    if alone:
        readers["decord alone"] = bare(Decord())
        if _works(Torchcodec()):
            readers |= {"kairos, torchcodec": guarded(Torchcodec()), "torchcodec alone": bare(Torchcodec())}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for place, video in enumerate(videos):
            try:
                path = render(video, Path(folder) / f"{place}.{video.container}")
            except ValueError:
                continue
            found += [distance(video, path, name, read) for name, read in readers.items()]
    return found


def distance(video: Video, path: Path, reader: str, read: Reading) -> Distance:
    """The largest distance between the times given and those at which the numbers shown were to be seen."""
    wanted_N, worst, unreadable = video.seconds(), 0.0, 0
    try:
        for second, image in read(str(path)):
            number = number_of(image)
            if number is None or number >= len(wanted_N):
                unreadable += 1
            else:
                worst = max(worst, abs(float(second - wanted_N[number])))
    except VideoError as error:
        return Distance(str(video), reader, None, refused=str(error).replace(str(path), path.name))
    return Distance(str(video), reader, worst, unreadable)


def requests(frames: int) -> list[list[int]]:
    """All frames, some of them, and the end: what is decoded in a row, jumped to forwards, and jumped to at once."""
    return [list(range(frames)), list(range(0, frames, 7)), list(range(frames - frames // 8, frames))]


def guarded(decoder: Decoder) -> Reading:
    """Frames and their times as the clip loader reads them with this decoder."""
    return reading(Guard(decoder))


def reading(guard: Guard) -> Reading:
    """Frames and their times as this guard reads them."""

    def read(path: str) -> Iterator[tuple[float, np.ndarray]]:
        opened = guard.open(VideoSource(path))
        for index_N in requests(opened.probe.frames):
            guard.open(VideoSource(path))
            for first, chunk in guard.frames(index_N):
                yield from zip(opened.seconds_N[index_N[first:]], chunk, strict=False)

    return read


def bare(decoder: Decoder) -> Reading:
    """Frames and their times as the decoder alone gives them."""

    def read(path: str) -> Iterator[tuple[float, np.ndarray]]:
        reader = decoder.open(path, None)
        for index_N in requests(reader.probe.frames):
            out = np.empty((len(index_N), reader.probe.height, reader.probe.width, 3), np.uint8)
            reader.read(index_N, out)
            yield from zip(reader.seconds_N[index_N], out, strict=True)

    return read


def _works(decoder: Decoder) -> bool:
    try:
        decoder.open("", None)
    except DecoderError:
        return False
    except VideoError:
        return True
    return True


def _blocks(number: int) -> np.ndarray:
    """Eight blocks for the bits of the number, eight for their opposites: [SIDE, SIDE, 3]."""
    bits = [number >> place & 1 for place in range(8)]
    blocks = np.array([*bits, *(1 - bit for bit in bits)], np.uint8).reshape(4, 4) * 180 + 40
    return np.repeat(np.kron(blocks, np.ones((SIDE // 4, SIDE // 4), np.uint8))[..., None], 3, axis=2)


def _options(video: Video) -> dict[str, object]:
    if video.codec.startswith("libvpx"):
        return {"g": "24", "deadline": "realtime", "cpu-used": "8"}
    options: dict[str, object] = {"g": "24", "bf": str(video.b_frames)}
    if video.codec.startswith("libx26"):
        options |= {"preset": "ultrafast" if not video.b_frames else "veryfast", "x265-params": "log-level=none"}
    return options | (_OPEN if video.open_groups else {})


def _add_silence(file: OutputContainer) -> None:
    sound = cast("AudioStream", file.add_stream("aac", rate=16_000))
    for start in range(0, 16_000 * (FRAMES // FPS), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
        file.mux(sound.encode(frame))
    file.mux(sound.encode())


def _hide(path: Path, frames: int) -> None:
    """Let the edit list of an MP4 file begin `frames` later."""
    data = bytearray(path.read_bytes())
    edit, media = data.index(b"elst") + 12, data.index(b"mdhd") + 16
    scale = struct.unpack(">I", data[media : media + 4])[0]
    length, begin = struct.unpack(">Ii", data[edit : edit + 8])
    data[edit : edit + 8] = struct.pack(">Ii", length - frames * 1000 // FPS, begin + frames * scale // FPS)
    path.write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--alone", action="store_true", help="measure bare decord and torchcodec too")
    parser.add_argument("--out", type=Path, default=Path("results/containers.json"))
    arguments = parser.parse_args()
    found = measure(alone=arguments.alone)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "command": "python benchmarks/containers.py" + (" --alone" if arguments.alone else ""),
        **{name: version(name) for name in ("av", "decord", "torchcodec") if find_spec(name)},
    }
    report = {"distances": [asdict(row) for row in found], "machine": machine}
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    names = list(dict.fromkeys(row.reader for row in found))
    table = Table("video", *names, title="largest distance from a frame's time, in seconds")
    for video, rows in itertools.groupby(found, key=lambda row: row.video):
        table.add_row(video, *(_cell(row) for row in rows))
    Console().print(table)


def _cell(row: Distance) -> str:
    if row.seconds is None:
        return "refused"
    return f"{row.seconds:.3g}" + (f", {row.unreadable} broken" if row.unreadable else "")


if __name__ == "__main__":
    main()
