"""Content hashes of video files, cached on disk so that thousands of clips need not be hashed again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from kairos.core.types import VideoSource
from kairos.video.decoding.image_folder import image_files
from kairos.video.errors import VideoError

_log = logging.getLogger(__name__)
_SETTLED_NS = 2_000_000_000


class ContentIndex:
    """Content hashes by (path, size, modification time), kept in `<folder>/sources.jsonl` for other processes.

    A file modified within the last two seconds is hashed each time: a second change could leave no trace.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "sources.jsonl"
        self._known: dict[tuple[str, int, int], str] | None = None

    def of(self, source: VideoSource) -> str:
        """Hash of the whole file or folder of `source`: 32 hexadecimal digits. VideoError if it cannot be read."""
        path = os.path.abspath(source.path)  # noqa: PTH100 - the name as given, links kept
        try:
            stamp = _stamp(path)
            key = (path, *stamp)
            known = self._load()
            if key not in known:
                known[key] = _hash(Path(path))
                if time.time_ns() - stamp[1] > _SETTLED_NS:
                    self._append(key, known[key])
                else:
                    return known.pop(key)
            return known[key]
        except FileNotFoundError as error:
            raise VideoError(
                f"{source.path}: there is no such file; check the annotation's path and the video folder"
            ) from error
        except OSError as error:
            raise VideoError(f"{source.path}: cannot be read ({error.strerror}); check its permissions") from error

    def earlier(self, source: VideoSource) -> set[str]:
        """All hashes that the file at this path has had."""
        path = os.path.abspath(source.path)  # noqa: PTH100
        return {content for (known, _, _), content in self._load().items() if known == path}

    def _load(self) -> dict[tuple[str, int, int], str]:
        if self._known is None:
            self._known = {}
            try:
                lines = self._file.read_text(encoding="utf-8", errors="replace").splitlines()
            except FileNotFoundError:
                lines = []
            for line in lines:
                try:
                    path, size, modified, content = json.loads(line)
                except (ValueError, TypeError):  # a line cut off by a full disk
                    continue
                self._known[(path, size, modified)] = content
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
    """(size, modification time in ns) of a file; of a folder, of all its images together."""
    status = os.stat(path)  # noqa: PTH116 - this is the hot path
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size, status.st_mtime_ns
    each = [file.stat() for file in image_files(Path(path))]
    names = len(each) << 48
    return names + sum(s.st_size for s in each), max([status.st_mtime_ns, *(s.st_mtime_ns for s in each)])


def _hash(path: Path) -> str:
    new: Callable[[], hashlib.blake2b] = lambda: hashlib.blake2b(digest_size=16)  # noqa: E731
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, new).hexdigest()
    whole = new()
    for image in image_files(path):
        with image.open("rb") as file:
            whole.update(image.name.encode() + b"\0" + hashlib.file_digest(file, new).digest())
    return whole.hexdigest()
