"""A record: one annotated question about one video, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kairos.core.types import Target, VideoSource

TASKS = ("grounding", "choice", "grounded_qa", "needle")
LETTERS = "ABCDEFGHIJ"  # of options, in their order


@dataclass(frozen=True)
class Record:
    """What a reader gives for one row of annotations.

    `uid` is stable across runs; `task` is one of `TASKS`, or a user's own; `source` names the data set; `duration` is
    in seconds as the annotations say, None where they do not. Times of the target are seconds from the clip's start.
    `difficulty` is the data set's own number on its own scale (readers say which): for filters, not for training.
    """

    uid: str
    task: str
    source: str
    video: VideoSource
    question: str
    target: Target
    options: tuple[str, ...] = ()
    duration: float | None = None
    difficulty: float | None = None


class Reader(Protocol):
    """A frozen dataclass that knows one annotation format and the paths of one split."""

    def records(self) -> list[Record]: ...
