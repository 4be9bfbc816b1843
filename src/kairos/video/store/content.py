"""Content hashes of video files, cached on disk so that thousands of clips need not be hashed again."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import time
from pathlib import Path

from kairos.core.regular_files import NotRegularFile, check_regular, open_regular
from kairos.core.types import VideoSource
from kairos.video.decoding.readers.image_folder import image_files
from kairos.video.errors import VideoError
from kairos.video.store.hashing import Reading, content_hash

_log = logging.getLogger(__name__)
_SETTLED_NS = 2_000_000_000
_HASH = re.compile("[0-9a-f]{32}")


class ContentIndex:
    """Content hashes by (path, size, modification time), kept in `<folder>/sources.jsonl` for other processes.

    A file modified within the last two seconds is hashed each time: a second change could leave no trace. Only regular
    files are opened, within the limits of `reading`.
    """

    def __init__(self, folder: Path, reading: Reading | None = None) -> None:
        self._file = folder / "sources.jsonl"
        self._reading = reading or Reading()
        self._known: dict[tuple[str, int, int], str] | None = None
        self._stops = 0

    def of(self, source: VideoSource) -> str:
        """Hash of the whole file or folder of `source`: 32 hexadecimal digits. VideoError if it cannot be read."""
        try:
            path = os.path.abspath(source.path)  # noqa: PTH100 - the name as given, links kept
            stamp = _stamp(path)
            key = (path, *stamp)
            known = self._load()
            if key not in known:
                known[key] = self._hash(Path(path))
                if time.time_ns() - stamp[1] > _SETTLED_NS:
                    self._append(key, known[key])
                else:
                    return known.pop(key)
            return known[key]
        except VideoError:
            raise
        except FileNotFoundError as error:
            raise VideoError(
                f"{source.path}: there is no such file; check the annotation's path and the video folder"
            ) from error
        except NotRegularFile as error:
            raise VideoError(
                f"{error.filename}: {error.strerror}; name a video file or a folder of frames in the row"
            ) from error
        except OSError as error:
            raise VideoError(
                f"{source.path[:300]}: cannot be read ({error.strerror}); check its name and permissions"
            ) from error
        except ValueError as error:  # a zero byte, half a character
            raise VideoError(f"{source.path[:300]!r}: no name of a file ({error}); correct the row") from error

    def stop(self) -> None:
        """End the hashing that other threads are in the middle of, with a VideoError."""
        self._stops += 1

    def _hash(self, path: Path) -> str:
        stops = self._stops
        return content_hash(path, self._reading, lambda: self._stops != stops)

    def earlier(self, source: VideoSource) -> set[str]:
        """All hashes that the file at this path has had."""
        path = os.path.abspath(source.path)  # noqa: PTH100
        return {content for (known, _, _), content in self._load().items() if known == path}

    def _load(self) -> dict[tuple[str, int, int], str]:
        if self._known is None:
            self._known = {}
            try:
                with open_regular(self._file) as file:
                    lines = file.read().splitlines()
            except FileNotFoundError:
                lines = []
            for line in lines:
                try:
                    path, size, modified, content = json.loads(line)
                    if _HASH.fullmatch(content):
                        self._known[(path, size, modified)] = content
                except (ValueError, TypeError, RecursionError):  # a line cut off by a full disk
                    continue
        return self._known

    def _append(self, key: tuple[str, int, int], content: str) -> None:
        line = json.dumps([*key, content]) + "\n"
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab", buffering=0) as file:  # one write: lines of several processes do not mix
                file.write(line.encode())
        except OSError as error:  # a full or read-only disk: only the shortcut is lost
            _log.warning("%s: the index of contents cannot be written (%s)", self._file, error.strerror)


def _stamp(path: str) -> tuple[int, int]:
    """(size, modification time in ns) of a regular file; of a folder, of all its images together. NotRegularFile."""
    status = os.stat(path)  # noqa: PTH116 - this is the hot path
    if not stat.S_ISDIR(status.st_mode):
        check_regular(path, status.st_mode)
        return status.st_size, status.st_mtime_ns
    each = [image.stat() for image in image_files(Path(path))]
    names = len(each) << 48
    return names + sum(s.st_size for s in each), max([status.st_mtime_ns, *(s.st_mtime_ns for s in each)])
