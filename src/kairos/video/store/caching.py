"""Fills a clip store before a run, with several decoding processes; can be stopped and resumed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from kairos.core.threads import threads
from kairos.core.types import VideoSource
from kairos.progress import showing_progress
from kairos.video.errors import StoreError, VideoError
from kairos.video.loader import ClipLoader, filled


@dataclass(frozen=True)
class CacheReport:
    """The outcome of `cache`."""

    clips: int
    """Number of distinct clips asked for."""
    written: int
    """Clips decoded and stored now."""
    present: int
    """Clips that were stored before."""
    failed: tuple[tuple[VideoSource, str], ...]
    """(source, reason)."""
    seconds: float
    failures: Path
    """JSONL of the failed clips."""

    def __str__(self) -> str:
        text = (
            f"{self.clips} clips: {self.written} written, {self.present} already there, {len(self.failed)} failed, "
            f"{self.seconds:.1f} s"
        )
        return f"{text}; reasons in {self.failures}" if self.failed else text


def cache(
    sources: Iterable[VideoSource],
    loader: ClipLoader,
    workers: int | None = None,
    failures: Path | None = None,
    console: Console | None = None,
) -> CacheReport:
    """Store every clip of `sources` that is not stored yet, `workers` at a time (by default one per CPU core).

    Each worker decodes in a process of its own. A clip that fails is written to `failures` (by default
    `failures.jsonl` in the store) with the reason and tried again next time. StoreError where the store cannot be
    written: it says how far the work came, and the same command resumes.
    """
    workers = workers or os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"workers must be >= 1, got {workers}")
    begun = time.monotonic()
    store, loader = loader.store, replace(loader, on_miss="fill")
    failures = failures or store.folder / "failures.jsonl"
    clips = list(dict.fromkeys(sources))
    failed: list[tuple[VideoSource, str]] = []
    written = done = 0
    store.sweep()
    each = threads((os.cpu_count() or 1) // workers)
    counting = showing_progress("caching clips", len(clips), console=console)
    with each, counting as advance, ThreadPoolExecutor(workers) as pool:
        pending: dict[Future[bool], VideoSource] = {}
        queue = iter(clips)
        try:
            while True:
                for source in queue:
                    pending[pool.submit(_store, loader, source)] = source
                    if len(pending) >= 4 * workers:
                        break
                if not pending:
                    break
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    source = pending.pop(future)
                    try:
                        written += future.result()
                        done += 1
                    except VideoError as error:
                        failed.append((source, str(error)))
                    advance(note=f"{len(failed)} failed" if failed else "")
        except StoreError as error:
            with suppress(StoreError):  # a disk that takes no clip may take no line either
                _write_failures(failures, failed)
            raise StoreError(f"{done} of {len(clips)} clips are stored ({written} of them now): {error}") from error
        except BaseException:  # a signal: leaving waits for the threads
            loader.stop()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    _write_failures(failures, failed)
    return CacheReport(len(clips), written, done - written, tuple(failed), time.monotonic() - begun, failures)


def _store(loader: ClipLoader, source: VideoSource) -> bool:
    """Load one clip; True if it had to be decoded and stored."""
    return filled(loader.load(source))


def _write_failures(path: Path, failed: list[tuple[VideoSource, str]]) -> None:
    """One JSON line a failure; no file where there is none. StoreError where it cannot be written."""
    lines = [
        json.dumps({"path": s.path, "start": s.start, "end": s.end, "fps": s.fps, "reason": reason}) + "\n"
        for s, reason in failed
    ]
    try:
        if lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(lines), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: the failures cannot be written ({error.strerror}); free space and repeat") from error
