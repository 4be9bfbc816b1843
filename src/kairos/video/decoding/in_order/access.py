"""How the frames of a source are found: by jumping to them, by decoding from the start, or in a folder of images."""

from __future__ import annotations

import enum
import os
import stat
from functools import lru_cache

from kairos.core.regular_files import open_regular
from kairos.video.decoding import iso_boxes
from kairos.video.decoding.in_order.sample_tables import jumps


class Access(enum.Enum):
    """How the frames of a source are found."""

    FOLDER = "folder"
    """A folder of images."""
    RANDOM = "random"
    """A file whose index lets a decoder jump to any frame: most MP4, MOV and 3GP files."""
    IN_ORDER = "in order"
    """Any other file: `sample_tables` says what MP4 files, and the other containers state too little (MPEG-PS and AVI
    no presentation time of every frame) or are jumped into at the wrong frame (MPEG-TS, WMV; Matroska with open
    groups of pictures)."""


def access(path: str) -> Access:
    """How to read the source at `path`; remembered by the file's size and time. RANDOM where there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - this is the hot path
    except (OSError, ValueError):  # whoever opens it says why
        return Access.RANDOM
    if stat.S_ISDIR(status.st_mode):
        return Access.FOLDER
    if not stat.S_ISREG(status.st_mode):
        return Access.RANDOM
    return _of_file(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1 << 17)
def _of_file(path: str, size: int, modified: int) -> Access:
    try:
        with open_regular(path) as file:
            if file.read(8)[4:] not in iso_boxes.FIRST:
                return Access.IN_ORDER
            return Access.IN_ORDER if jumps(file, size) is False else Access.RANDOM
    except OSError:
        return Access.RANDOM
