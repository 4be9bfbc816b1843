"""How callbacks see a finished iteration: one hook, called in a stated order."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Protocol, TypeVar, runtime_checkable

from kairos.core.types import PromptBatch

ModuleT_contra = TypeVar("ModuleT_contra", contravariant=True)


class Turn(IntEnum):
    """When a callback's `after_iteration` is called. Within a turn callbacks keep the order of the config."""

    MEASURE = 0
    """May add to `module.metrics`: every callback without a `turn` of its own."""
    READ = 1
    """Finds all metrics of the iteration: the log, early stopping, the progress bar."""
    LAST = 2
    """Finds the log's rows on disk and every decision made: the checkpoint."""


@runtime_checkable
class IterationCallback(Protocol[ModuleT_contra]):
    """A Lightning callback that reads the step. `module` is the `GRPOModule`, `batch` what it has just learned from.

    A number that it puts into `module.metrics` is logged, wherever in `callbacks` it is listed. An attribute `turn`
    (`Turn.MEASURE` where there is none) says when it is called.
    """

    def after_iteration(self, module: ModuleT_contra, batch: PromptBatch) -> None: ...


def after_iteration(callbacks: Iterable[object], module: object, batch: PromptBatch) -> None:
    """Call every `IterationCallback` among `callbacks`, turn by turn."""
    found = [callback for callback in callbacks if isinstance(callback, IterationCallback)]
    for callback in sorted(found, key=lambda callback: getattr(callback, "turn", Turn.MEASURE)):
        callback.after_iteration(module, batch)
