"""Draws a scene of the mini world and writes it as a real mp4 file (H.264). Numpy and PyAV only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from kairos.data.mini.scene import COLOURS, FPS, SIZE, Scene, Thing

_ENCODER = {"preset": "superfast", "tune": "zerolatency", "crf": "14"}
_FINER = 4  # samples a pixel and axis, for smooth edges


def frames(scene: Scene) -> np.ndarray:
    """uint8 [T, height, width, 3] at FPS, all at once: frame k shows what is visible at k / FPS seconds."""
    return np.stack(list(images(scene)))


def images(scene: Scene) -> Iterator[np.ndarray]:
    """The frames one after the other, uint8 [height, width, 3]."""
    background = _background(scene)
    for k in range(round(scene.kind.seconds * FPS)):
        yield _drawn(scene, k, background)


def image(scene: Scene, k: int) -> np.ndarray:
    """Frame k alone, uint8 [height, width, 3]: what `frames` has at k."""
    return _drawn(scene, k, _background(scene))


def visible(scene: Scene, k: int) -> list[Thing]:
    """The things that frame k shows, in the scene's order."""
    return [thing for thing in scene.things if round(thing.span.start * FPS) <= k < round(thing.span.end * FPS)]


def _drawn(scene: Scene, k: int, background: np.ndarray) -> np.ndarray:
    picture = background.copy()
    across, down = scene.kind.width / SIZE, scene.kind.height / SIZE
    for thing in visible(scene, k):
        diameter = round(thing.diameter * min(across, down))
        mask = _mask(thing.shape, diameter)[..., None]
        colour = np.array(COLOURS[thing.colour], dtype=np.float32)
        x, y = (round(c * scale - diameter / 2) for c, scale in zip(thing.centre(k / FPS), (across, down), strict=True))
        patch = picture[y : y + diameter, x : x + diameter]
        patch[...] = patch * (1 - mask) + colour * mask
    return picture


def render(scene: Scene, path: Path) -> None:
    """Write the scene to `path` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with av.open(str(partial), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=FPS, options=_ENCODER)
            stream.width, stream.height = scene.kind.width, scene.kind.height
            stream.pix_fmt = "yuv420p"
            stream.gop_size = 16
            stream.thread_count = 1
            stream.codec_context.time_base = Fraction(1, FPS)
            for picture in images(scene):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def render_job(job: tuple[Scene, str]) -> None:
    """`render` with a single argument, for a pool of processes."""
    scene, path = job
    render(scene, Path(path))


def _background(scene: Scene) -> np.ndarray:
    """uint8 [height, width, 3]: mid-grey, plain or lightly textured; darker with stripes if out of distribution."""
    rng = np.random.default_rng(scene.background)
    rows, columns = np.mgrid[0 : scene.kind.height, 0 : scene.kind.width].astype(np.float32)
    rows, columns = rows * np.float32(SIZE / scene.kind.height), columns * np.float32(SIZE / scene.kind.width)
    if scene.kind.foreign:
        base = rng.uniform(60, 95) + rng.uniform(-8, 8, 3)
        period, angle = rng.uniform(8, 20), rng.uniform(0, np.pi)
        texture = 14 * np.sign(np.sin((columns * np.cos(angle) + rows * np.sin(angle)) * 2 * np.pi / period))
    else:
        base = rng.uniform(110, 145) + rng.uniform(-6, 6, 3)
        angle = rng.uniform(0, 2 * np.pi)
        texture = rng.uniform(0, 12) * (columns * np.cos(angle) + rows * np.sin(angle)) / SIZE
    return np.clip(base + texture[..., None], 0, 255).astype(np.uint8)


@lru_cache(maxsize=128)
def _mask(shape: str, diameter: int) -> np.ndarray:
    """Coverage [diameter, diameter] in 0..1 of a shape that fills the box."""
    fine = (np.arange(diameter * _FINER) + 0.5) / (diameter * _FINER) * 2 - 1
    x, y = np.meshgrid(fine, fine)
    inside = {
        "circle": lambda: x**2 + y**2 <= 1,
        "square": lambda: np.maximum(abs(x), abs(y)) <= 0.86,
        "triangle": lambda: (y <= 0.92) & (abs(x) <= (y + 1) / 1.92),
        "star": lambda: _star(x, y),
    }[shape]()
    cells = inside.reshape(diameter, _FINER, diameter, _FINER)
    return cells.mean(axis=(1, 3)).astype(np.float32)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A four-pointed star with deep notches: it stays a star at eighteen pixels."""
    return abs(x) ** 0.65 + abs(y) ** 0.65 <= 1.08
