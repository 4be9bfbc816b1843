"""A record: one annotated question about one video that is not decoded yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kairos.core.types import Target, VideoSource

TASKS = ("grounding", "choice", "grounded_qa", "needle")
LETTERS = "ABCDEFGHIJ"  # of options, in their order


@dataclass(frozen=True)
class Record:
    """What a reader returns for one row of annotations."""

    uid: str
    """Stable across runs."""
    task: str
    """One of `TASKS`, or a user's own."""
    source: str
    """Name of the data set."""
    video: VideoSource
    question: str
    """The caption to find, or the question without its options."""
    target: Target
    """Times in seconds from the start of the clip."""
    options: tuple[str, ...] = ()
    """Texts without letters."""
    duration: float | None = None
    """Seconds, as the annotations say; None if they do not."""
    difficulty: float | None = None
    """On the data set's own scale (its reader says which); for filters, not for training."""
    category: str = ""
    """The kind of question as the data set names it, such as "TN" or "anomaly_reco"; scores are told apart by it."""


class Reader(Protocol):
    """Reads one annotation format: a frozen dataclass with the paths of one split."""

    def records(self) -> list[Record]: ...
