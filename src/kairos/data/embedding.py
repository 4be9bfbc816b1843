"""Fills the feature store of an `Embeds` part before a run: every clip and every question of some records, once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from kairos.core.prompt_text import PromptError
from kairos.core.protocols import Embeds
from kairos.data.dataset import Loader
from kairos.data.records import Record
from kairos.progress import with_progress


@dataclass(frozen=True)
class EmbeddingReport:
    """The outcome of `fill`."""

    clips: int
    """Distinct clips whose features are stored."""
    frames: int
    """Their frames."""
    questions: int
    """Distinct questions whose features are stored."""
    failed: tuple[tuple[str, str], ...]
    """(clip or question, reason)."""
    seconds: float

    def __str__(self) -> str:
        text = f"features of {self.clips} clips ({self.frames} frames) and {self.questions} questions stored, "
        lines = [f"  {what}: {reason}" for what, reason in self.failed[:5]]
        more = [f"  and {len(self.failed) - 5} more"] if len(self.failed) > 5 else []
        return "\n".join([f"{text}{len(self.failed)} failed, {self.seconds:.1f} s", *lines, *more])


def fill(records: Sequence[Record], loader: Loader, part: Embeds, console: Console | None = None) -> EmbeddingReport:
    """Have `part` compute what it does not store yet; a clip that cannot be decoded, or an empty question, is named."""
    begun, failed = time.monotonic(), []
    clips = frames = questions = 0
    for source in with_progress("embedding clips", list(dict.fromkeys(r.video for r in records)), console):
        try:
            frames += len(part.of_clip(loader.load(source)))
            clips += 1
        except PromptError as error:
            failed.append((str(source), str(error)))
    for text in with_progress("embedding questions", list(dict.fromkeys(r.question for r in records)), console):
        try:
            part.of_text(text)
            questions += 1
        except PromptError as error:
            failed.append((repr(text), str(error)))
    return EmbeddingReport(clips, frames, questions, tuple(failed), time.monotonic() - begun)
