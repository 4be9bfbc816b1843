"""The hook by which callbacks see a finished iteration, and the order of its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Protocol, TypeVar, runtime_checkable

from kairos.core.types import PromptBatch

ModuleT_contra = TypeVar("ModuleT_contra", contravariant=True)


class Turn(IntEnum):
    """When a callback's `after_iteration` is called. Within a turn callbacks keep the order of the config."""

    MEASURE = 0
    """May add to `module.metrics`. The default of callbacks without a `turn`."""
    READ = 1
    """Reads all metrics of the iteration: the log, early stopping, the progress bar."""
    LAST = 2
    """Runs when the log is written and all decisions are made: the checkpoint."""


@runtime_checkable
class IterationCallback(Protocol[ModuleT_contra]):
    """A Lightning callback that is called after each iteration with the `GRPOModule` and the batch it learned from.

    Numbers that it adds to `module.metrics` are logged, wherever in `callbacks` it is listed. An attribute `turn` says
    when it is called (default: `Turn.MEASURE`).
    """

    def after_iteration(self, module: ModuleT_contra, batch: PromptBatch) -> None: ...


def after_iteration(
    callbacks: Iterable[object], module: object, batch: PromptBatch, told: Callable[[str], None] | None = None
) -> None:
    """Call every `IterationCallback` among `callbacks`, turn by turn; `told` gets the name of each before its call."""
    found = [callback for callback in callbacks if isinstance(callback, IterationCallback)]
    for callback in sorted(found, key=lambda callback: getattr(callback, "turn", Turn.MEASURE)):
        if told is not None:
            told(type(callback).__name__)
        callback.after_iteration(module, batch)
