"""Turns torch's out-of-memory error into one that says what was being computed and what can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PLAN = "`python scripts/plan.py <the same overrides>` says how much each change would save."


class OutOfMemory(ValueError):
    """The device has too little memory.

    `doing` completes "out of memory while ...", with numbers; `said` is torch's own message. `advice` says what to
    change: a caller that knows more about the run may replace it and raise the error again.
    """

    def __init__(self, doing: str, said: str, advice: str = PLAN) -> None:
        super().__init__(doing, said, advice)
        self.doing, self.said, self.advice = doing, said, advice

    def __str__(self) -> str:
        return f"out of memory while {self.doing}: {self.said}\n{self.advice}"


@contextmanager
def explaining_out_of_memory(doing: str, advice: str = PLAN) -> Iterator[None]:
    """Inside this context torch's out-of-memory error becomes an `OutOfMemory`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(doing, str(error).partition(" If reserved")[0], advice) from error
