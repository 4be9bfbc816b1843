"""Reads a folder of images as a video: in natural order of names, at a constant frame rate."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from kairos.core.regular_files import NotRegularFile, check_regular
from kairos.video.decoding.decoder import Probe
from kairos.video.errors import VideoError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def image_files(folder: Path) -> list[Path]:
    """The images of `folder` in natural order: frame_2 before frame_10."""
    return sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES),
        key=lambda path: [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)],
    )


class ImageFolder:
    """Frames from image files. The first one gives the size; all must have it."""

    def __init__(self, path: str, fps: float) -> None:
        self._files = image_files(Path(path))
        if not self._files:
            raise VideoError(f"{path}: a folder without images ({', '.join(sorted(SUFFIXES))}); check the row's path")
        with self._open(self._files[0]) as image:
            width, height = image.size
        count = len(self._files)
        self.seconds_N = np.arange(count, dtype=np.float64) / fps
        self.probe = Probe(count, fps, width, height, count / fps, f"pillow {PIL.__version__}")

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        size = (self.probe.width, self.probe.height)
        for row, index in enumerate(index_K):
            file = self._files[index]
            with self._open(file) as image:
                if image.size != size:
                    raise VideoError(
                        f"{file}: {image.size[0]}x{image.size[1]} pixels, but the folder's first image has "
                        f"{size[0]}x{size[1]}; give all frames one size"
                    )
                try:
                    out_KHWC[row] = np.asarray(image.convert("RGB"))
                except (OSError, ValueError, SyntaxError) as error:
                    raise VideoError(f"{file}: not a readable image ({error}); write it again") from error

    @staticmethod
    def _open(file: Path) -> Image.Image:
        try:
            check_regular(file, file.stat().st_mode)
            return Image.open(file)
        except NotRegularFile as error:
            raise VideoError(f"{file}: {error.strerror}; leave only images in the folder") from error
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(f"{file}: not a readable image ({error}); write it again") from error
