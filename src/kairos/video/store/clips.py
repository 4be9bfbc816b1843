"""The clip store: a folder with one safetensors file per clip and pixel budget, written atomically and memory-mapped.

A file's key is the content hash of its source and every parameter that changes a pixel; the file holds its key too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from kairos.core.protocols import Budget
from kairos.core.seals import BrokenFile
from kairos.core.types import VideoClip, VideoSource
from kairos.video.store.content import ContentIndex
from kairos.video.store.hashing import Reading
from kairos.video.store.mapped import FORMAT, Mapped, StoredClip, open_clip
from kairos.video.store.sealed import write_sealed

_log = logging.getLogger(__name__)
_REMEDY = (
    "the clip store cannot be written ({reason}); what is stored stays readable: free space or choose another folder "
    "(store=<folder>), then run the same command again"
)


class ClipStore:
    """Clips below `folder`. `broken` maps damaged files to what is wrong; they count as not stored.

    `reading`: limits on reading a source to hash it.
    """

    def __init__(self, folder: str | os.PathLike[str], reading: Reading | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.broken: dict[str, str] = {}
        self._root = str(self.folder)
        self._contents = ContentIndex(self.folder, reading)

    def get(self, source: VideoSource, budget: Budget) -> VideoClip | None:
        """The stored clip, memory-mapped; None if it is not stored. VideoError if the source cannot be read."""
        path, wanted = self._find(source, budget)
        mapped = self._open(path, wanted)
        if mapped is None:
            return None
        duration = float(str(mapped.about["duration"]))
        return StoredClip(
            Path(path).stem,
            mapped.frames_TCHW,
            mapped.seconds_T,
            duration,
            source=source,  # not in the file: the same content may lie at several paths
            path=mapped.path,
            mapped=mapped.frames_TCHW,
        )

    def has(self, source: VideoSource, budget: Budget) -> bool:
        """Whether the clip is stored."""
        return self._open(*self._find(source, budget)) is not None

    def name(self, source: VideoSource, budget: Budget) -> str:
        """The clip's uid: its content and a hash of the key, the same on every machine."""
        return Path(self._find(source, budget)[0]).stem

    def about(self, source: VideoSource, budget: Budget) -> Mapping[str, object] | None:
        """The facts stored with the clip: key, source, source_fps, duration, decoder, ...; None if it is not stored."""
        mapped = self._open(*self._find(source, budget))
        return None if mapped is None else mapped.about

    def put(
        self, source: VideoSource, budget: Budget, clip: VideoClip, facts: Mapping[str, str | float] | None = None
    ) -> None:
        """Write `clip`, atomically; `facts` are noted beside it. Two writers of one clip do not disturb each other.

        StoreError when the disk is full or the folder cannot be written: what is stored stays readable.
        """
        if clip.frames_TCHW is None:
            raise ValueError(f"clip {clip.uid} has no frames to store")
        path, key = self._find(source, budget)
        frames = clip.frames_TCHW.contiguous()
        about = {**(facts or {}), "key": key, "source": str(source), "duration": clip.duration}
        seconds = clip.seconds_T.to(torch.float64).contiguous()
        text = json.dumps(about, sort_keys=True)
        write_sealed(Path(path), FORMAT, text, {"seconds": seconds, "frames": frames}, _REMEDY)

    def explain(self, source: VideoSource, budget: Budget) -> str:
        """Why `get` finds nothing: a broken file, a parameter that differs, a changed source, or never cached."""
        path, wanted = self._find(source, budget)
        if path in self.broken:
            return f"the stored file {Path(path).name} is broken: {self.broken[path]}"
        others = [
            found for other in self._files(wanted["content"]) if (found := self._open(str(other), None)) is not None
        ]
        if not others:
            changed = any(self._files(content) for content in self._contents.earlier(source) - {wanted["content"]})
            return "its file has changed since it was cached" if changed else "it was never cached"
        differences = [_differences(wanted, other.about["key"]) for other in others]
        return "stored with " + ", ".join(min(differences, key=len))

    def _find(self, source: VideoSource, budget: Budget) -> tuple[str, dict[str, str]]:
        """The path of the clip's file, and its key: everything that its pixels depend on."""
        key = {"content": self._contents.of(source), **budget.describe()}
        key["start"] = "" if source.start is None else repr(float(source.start))
        key["end"] = "" if source.end is None else repr(float(source.end))
        if source.fps is not None and os.path.isdir(source.path):  # noqa: PTH112 - this is the hot path
            key["folder_fps"] = repr(float(source.fps))
        digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
        return f"{self._root}/{key['content'][:2]}/{key['content']}-{digest}.safetensors", key

    def _files(self, content: str) -> list[Path]:
        return sorted((self.folder / content[:2]).glob(f"{content}-*.safetensors"))

    def _open(self, path: str, wanted: Mapping[str, str] | None) -> Mapped | None:
        try:
            mapped = open_clip(path)
            if wanted is not None and mapped.about.get("key") != wanted:
                raise BrokenFile(f"it holds another clip: {', '.join(_differences(wanted, mapped.about.get('key')))}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except BrokenFile as error:
            if path not in self.broken:
                _log.warning("%s: not used: %s; it will be cached again where on_miss=fill", path, error)
            self.broken[path] = str(error)
            return None
        self.broken.pop(path, None)
        return mapped

    def stop(self) -> None:
        """End the hashing of sources that other threads are in the middle of: a VideoError there."""
        self._contents.stop()

    def sweep(self, older_than: float = 3600.0) -> int:
        """Remove partial files that killed writers left more than `older_than` seconds ago; returns their number."""
        stale = [p for p in self.folder.glob("*/.*.partial") if time.time() - p.stat().st_mtime > older_than]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)


def _differences(wanted: Mapping[str, str], stored: object) -> list[str]:
    """ "fps=1.0 (asked for 2.0)" for each parameter that differs."""
    if not isinstance(stored, Mapping):
        return ["an unknown key"]
    names = [name for name in sorted({*wanted, *stored}) if wanted.get(name) != stored.get(name)]
    return [f"{n}={stored.get(n) or 'none'} (asked for {wanted.get(n) or 'none'})" for n in names]
