"""Keeps a part's StopIteration from ending the loop around it."""

from __future__ import annotations

from types import TracebackType


class no_stop_iteration:
    """Inside this context a StopIteration becomes a RuntimeError, as it does in a generator (PEP 479).

    A loop takes StopIteration for the end of its data: `next(x for x in xs if ...)` without a match, in a reward or an
    advantage, would end a training silently. `during` completes the sentence "StopIteration during ...".
    """

    def __init__(self, during: str) -> None:
        self.during = during

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if isinstance(error, StopIteration):
            raise RuntimeError(
                f"StopIteration during {self.during}: a next(...) found nothing; give it a default, next(..., None)"
            ) from error
