"""Loads a clip from the clip store, or decodes it, resizes it to the pixel budget and stores it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from kairos.core.threads import threads
from kairos.core.types import VideoClip, VideoSource
from kairos.video.budget import PixelBudget
from kairos.video.composed import ComposedClip
from kairos.video.decoding.bounds import Bounds
from kairos.video.decoding.comparison import Comparison
from kairos.video.decoding.decoder import Decoder, Probe
from kairos.video.decoding.decoders import Decord, Images, InOrder
from kairos.video.decoding.guard import Guard, Guards
from kairos.video.decoding.in_order.access import Access, access
from kairos.video.errors import StoreError, VideoError
from kairos.video.resize import VERSION, resize
from kairos.video.store.clips import ClipStore
from kairos.video.store.mapped import StoredClip


@dataclass(frozen=True)
class Recipe:
    """Everything besides the source that changes a clip's pixels: budget, decoder, resizing. The store's `Budget`."""

    budget: PixelBudget
    decoder: Decoder

    def describe(self) -> Mapping[str, str]:
        return self._described

    @cached_property
    def _described(self) -> Mapping[str, str]:
        return {**self.budget.describe(), **self.decoder.describe(), "resize": VERSION}


class _Tally:
    """A counter shared by the threads of one process; a pickled copy starts at zero."""

    def __init__(self) -> None:
        self._lock, self.misses = threading.Lock(), 0

    def __reduce__(self) -> tuple[type[_Tally], tuple[()]]:
        return _Tally, ()

    def miss(self) -> None:
        with self._lock:
            self.misses += 1


@dataclass(frozen=True)
class ClipLoader:
    """Loads clips; picklable, for use in a data loader's workers."""

    store: ClipStore
    decoder: Decoder = field(default_factory=Decord)
    budget: PixelBudget = field(default_factory=PixelBudget)
    on_miss: Literal["fill", "require", "off"] = "fill"
    """A clip that the store lacks: decode and store it, or refuse it; "off" always decodes and ignores the store."""
    time_limit: float = 60.0
    """Seconds to decode one clip."""
    bounds: Bounds = field(default_factory=Bounds)
    """Limits on one video file."""
    comparison: Comparison = field(default_factory=Comparison)
    """Frames that are compared with a decode from the start."""
    _guards: Guards = field(default_factory=Guards.new, init=False, repr=False, compare=False)
    _tally: _Tally = field(default_factory=_Tally, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.on_miss not in ("fill", "require", "off"):
            raise ValueError(f"data.on_miss must be fill, require or off, got {self.on_miss!r}")
        if not self.time_limit > 0:
            raise ValueError(f"time_limit must be positive (seconds per clip), got {self.time_limit}")

    @property
    def misses(self) -> int:
        """Number of clips that this process decoded because the store lacked them; `filled(clip)` is for one clip."""
        return self._tally.misses

    def load(self, source: VideoSource) -> VideoClip:
        """The clip, its frames [T, 3, H, W] uint8. VideoError names the file and the remedy; StoreError a full disk,
        DecoderError a decoder that is not usable here."""
        recipe = self.recipe(source)
        if self.on_miss != "off":
            clip = self.store.get(source, recipe)
            if clip is not None:
                return clip
            if self.on_miss == "require":
                raise VideoError(
                    f"{source}: not in the clip store {self.store.folder} as required by data.on_miss=require: "
                    f"{self.store.explain(source, recipe)}; run scripts/cache_videos.py with the same settings"
                )
        clip, facts = self.decode(source)
        if self.on_miss == "off":
            return clip
        self._tally.miss()
        self.store.put(source, recipe, clip, facts)
        stored = self.store.get(source, recipe)
        return replace(stored, filled=True) if isinstance(stored, StoredClip) else clip

    def decode(self, source: VideoSource) -> tuple[VideoClip, dict[str, str | float]]:
        """Decode and resize, bypassing the store: the clip, and facts about its source to store with it."""
        start, end = _span(source)
        guard = self._guard()
        opened = guard.open(source)
        probe, seconds_N = opened.probe, opened.seconds_N
        if start >= probe.duration:
            raise VideoError(
                f"{source}: starts at {start:g} s, behind the end of the video ({probe.duration:g} s); correct the row"
            )
        first, last = np.searchsorted(seconds_N, [start, end], side="left") if source.start or source.end else (0, None)
        chosen_N = seconds_N[first:last]
        stop = min(end, probe.duration)
        self.bounds.check_seconds(str(source), stop - start)
        try:
            index = self.budget.indices(len(chosen_N), probe.fps)
            height, width = self.budget.size(probe.height, probe.width, len(index))
        except ValueError as error:
            raise VideoError(f"{source}: {error}; leave this row out, or name a longer part of the video") from error
        frames = torch.empty((len(index), 3, height, width), dtype=torch.uint8)
        with _one_core_less():
            for position, chunk_KHWC in guard.frames([int(first) + i for i in index]):
                chunk = torch.from_numpy(chunk_KHWC).permute(0, 3, 1, 2)
                frames[position : position + len(chunk)] = resize(chunk, height, width)
        seconds_T = torch.from_numpy(chosen_N[index] - (start if source.start else 0.0))
        uid = self.store.name(source, self.recipe(source))
        clip = VideoClip(uid, frames, seconds_T, float(stop - start), source=source)
        facts = {
            "source_fps": probe.fps,
            "source_frames": probe.frames,
            "source_duration": probe.duration,
            "source_size": f"{probe.width}x{probe.height}",
            "decoded_by": probe.version,
            "torch": torch.__version__,
        }
        return clip, facts

    def probe(self, source: VideoSource) -> Probe:
        """Frames, fps, size and duration of the file of `source`. VideoError."""
        return self._guard().open(source).probe

    def frame_seconds(self, source: VideoSource) -> np.ndarray:
        """Presentation times of all frames of the file of `source`: float64 [N], seconds of the file. VideoError."""
        return self._guard().open(source).seconds_N

    def check(self, sources: Iterable[VideoSource]) -> None:
        """With `on_miss=require`: StoreError unless every source is stored, with the count, the first five and why."""
        if self.on_miss != "require":
            return
        wanted = list(dict.fromkeys(sources))
        missing: list[str] = []
        for source in wanted:
            recipe = self.recipe(source)
            try:
                if not self.store.has(source, recipe):
                    missing.append("" if len(missing) >= 5 else f"{source}: {self.store.explain(source, recipe)}")
            except VideoError as error:
                missing.append(str(error))
        if missing:
            named = "\n".join(f"  {line}" for line in missing[:5])
            more = f"\n  and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise StoreError(
                f"{len(missing)} of {len(wanted)} clips are not in the clip store {self.store.folder}, and "
                f"data.on_miss=require:\n{named}{more}\nRun scripts/cache_videos.py with the same settings, or set "
                "data.on_miss=fill"
            )

    def recipe(self, source: VideoSource) -> Recipe:
        """The recipe for `source`: what `access` says of its file or folder, else with the loader's decoder."""
        return self._recipes[access(source.path)]

    @cached_property
    def _recipes(self) -> Mapping[Access, Recipe]:
        decoders = {Access.RANDOM: self.decoder, Access.IN_ORDER: InOrder(), Access.FOLDER: Images()}
        return {found: Recipe(self.budget, decoder) for found, decoder in decoders.items()}

    def _guard(self) -> Guard:
        return self._guards.get(self.decoder, self.time_limit, self.bounds, self.comparison)

    def stop(self) -> None:
        """End, with a VideoError, what other threads are loading: hashing stops, decoding processes are killed."""
        self.store.stop()
        self._guards.stop()

    def close(self) -> None:
        """Stop this thread's decoding process; the next clip that needs one starts another."""
        self._guards.close()


def filled(clip: VideoClip) -> bool:
    """Whether this load had to decode the clip, or a part of it, because the store lacked it."""
    if isinstance(clip, ComposedClip):
        return any(filled(part) for part in clip.parts)
    return isinstance(clip, StoredClip) and clip.filled


@contextmanager
def _one_core_less() -> Iterator[None]:
    """Use one torch thread less: without a core for the decoding process, all parallel loops would wait for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with threads(torch.get_num_threads() - 1):
        yield


def _span(source: VideoSource) -> tuple[float, float]:
    """(start, end) in seconds of the source, end infinite where the row names none. VideoError where it is no span."""
    start = 0.0 if source.start is None else source.start
    end = math.inf if source.end is None else source.end
    if math.isnan(end) or not 0 <= start < math.inf:
        raise VideoError(f"{source.path}: sub-clip from {source.start} to {source.end} s is no span; correct the row")
    if end <= start:
        raise VideoError(
            f"{source.path}: sub-clip from {start:g} to {end:g} s is reversed or has no length; correct the row"
        )
    return start, end
