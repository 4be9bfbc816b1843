"""Shows how far a long loop is: a bar on a terminal, elsewhere a line for every tenth of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

_LINES = 10  # off a terminal


class Advance(Protocol):
    """Tells a progress bar that `steps` more are done; `note` stands behind the numbers from now on."""

    def __call__(self, steps: int = 1, note: str | None = None) -> None: ...


@contextmanager
def showing_progress(
    what: str, total: int, done: int = 0, console: Console | None = None, shown: bool = True
) -> Iterator[Advance]:
    """Context whose value is called as work gets done: `total` steps, of which `done` were done before.

    `console` is that of stderr by default; nothing appears where `shown` is false.
    """
    console = console or Console(stderr=True)
    if not shown:
        yield _uncounted
    else:
        counted = _bar if console.is_terminal else _lines
        with counted(what, total, done, console) as advance:
            yield advance


def with_progress(what: str, items: Sequence[Item], console: Console | None = None) -> Iterator[Item]:
    """The items one after the other, each counted when the next is asked for."""
    with showing_progress(what, len(items), console=console) as advance:
        for item in items:
            yield item
            advance()


def _uncounted(steps: int = 1, note: str | None = None) -> None:
    pass


@contextmanager
def _bar(what: str, total: int, done: int, console: Console) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, completed=done, note="")

        def advance(steps: int = 1, note: str | None = None) -> None:
            if note is not None:
                bar.update(task, note=note)
            bar.update(task, advance=steps)

        yield advance


@contextmanager
def _lines(what: str, total: int, done: int, console: Console) -> Iterator[Advance]:
    started, noted = time.monotonic(), ""

    def advance(steps: int = 1, note: str | None = None) -> None:
        nonlocal done, noted
        before, done = done, done + steps
        noted = noted if note is None else note
        if done * _LINES // max(1, total) > before * _LINES // max(1, total):
            line = f"{what} {done}/{total}  {time.monotonic() - started:.0f} s  {noted}"
            console.print(line.rstrip(), highlight=False, markup=False, soft_wrap=True)

    yield advance
