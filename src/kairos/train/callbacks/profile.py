"""Profiles some iterations with torch's profiler: the share of time in which the GPU computes, and its kernels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from kairos.core.types import PromptBatch
from kairos.train.callbacks.fitted import module_of
from kairos.train.devices import ranks
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn

_CLEAR = 0.1  # seconds


class Profile(Callback):
    """Profiles iterations `first` to `last` on rank 0: profile.json in `folder`, and with `trace` a chrome trace.json.

    profile.json holds the seconds profiled, waits for data included. On a GPU also the share of them in which a kernel
    ran (the union of their intervals, as streams overlap; without copies), the same for each phase of the last
    iteration (except phases of a few milliseconds, by which the clocks disagree), and the kernels with the most time.
    """

    turn = Turn.LAST

    def __init__(self, folder: str, first: int = 3, last: int = 3, trace: bool = False, top: int = 25) -> None:
        if not 1 <= first <= last:
            raise ValueError(f"callbacks.profile: first and last must be 1 <= first <= last, got {first} and {last}")
        self.folder, self.first, self.last, self.trace, self.top = Path(folder), first, last, trace, top
        self._profile: profile | None = None
        self._begun = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin(module_of(pl_module))

    def _begin(self, module: GRPOModule) -> None:
        if ranks.rank() or module.iteration + 1 != self.first:
            return
        on_gpu = module.device.type == "cuda"
        activities = [ProfilerActivity.CUDA] if on_gpu else []
        if self.trace or not on_gpu:  # tracing the host slows its launches
            activities.append(ProfilerActivity.CPU)
        self._profile = profile(activities=activities)
        self._profile.start()
        self._begun = time.perf_counter()

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        if self._profile is None or module.iteration != self.last:
            self._begin(module)
            return
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        seconds = time.perf_counter() - self._begun
        watched, self._profile = self._profile, None
        watched.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.trace:
            watched.export_chrome_trace(str(self.folder / "trace.json"))
        facts: dict[str, object] = {"iterations": [self.first, self.last], "seconds": seconds}
        events = [event for event in watched.events() or [] if _is_kernel(event)]
        if events:
            spans = [(event.time_range.start, event.time_range.end) for event in events]
            facts["gpu_share"] = covered(spans) / 1e6 / seconds
            facts["gpu_share_of_phases"] = {
                name: covered(within(spans, *((1e6 * (at - self._begun)) for at in phase)))
                / 1e6
                / (phase[1] - phase[0])
                for name, phase in module.meter.spans.items()
                if phase[1] - phase[0] >= _CLEAR
            }
            facts["kernels"] = [
                {"name": name, "seconds": taken / 1e6, "calls": calls}
                for name, taken, calls in longest(((e.name, e.time_range.elapsed_us()) for e in events), self.top)
            ]
        (self.folder / "profile.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _is_kernel(event: FunctionEvent) -> bool:
    copies = event.name.startswith(("Memcpy", "Memset"))
    return event.device_type.name == "CUDA" and not event.is_user_annotation and not copies


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of the union of the spans.

    >>> covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
    4.0
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def within(spans: Iterable[tuple[float, float]], begin: float, end: float) -> list[tuple[float, float]]:
    """The spans cut to [`begin`, `end`], without those outside.

    >>> within([(0.0, 2.0), (3.0, 5.0), (8.0, 9.0)], 1.0, 4.0)
    [(1.0, 2.0), (3.0, 4.0)]
    """
    return [(max(a, begin), min(b, end)) for a, b in spans if a < end and b > begin]


def longest(timed: Iterable[tuple[str, float]], top: int) -> list[tuple[str, float, int]]:
    """(name, total time, number of calls), longest total first.

    >>> longest([("a", 1.0), ("b", 5.0), ("a", 2.0)], top=2)
    [('b', 5.0, 1), ('a', 3.0, 2)]
    """
    totals: dict[str, tuple[float, int]] = {}
    for name, taken in timed:
        so_far, calls = totals.get(name, (0.0, 0))
        totals[name] = (so_far + taken, calls + 1)
    ordered = sorted(totals.items(), key=lambda item: -item[1][0])[:top]
    return [(name, taken, calls) for name, (taken, calls) in ordered]
