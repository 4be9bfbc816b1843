"""How well a stated span fits the annotated ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.spans import Span, best_iou, iou
from kairos.core.types import RolloutGroup, Target
from kairos.credit.rewards.answered import answers


@dataclass(frozen=True)
class IoU:
    """Temporal IoU [G] in [0, 1]: of one stated span with the best annotated one, of a list as unions (TimeZero).

    0 where the answer states no proper span; ValueError where nothing is annotated.
    """

    def __call__(self, group: RolloutGroup) -> Tensor:
        spans = _annotated(group)
        return torch.tensor([best_iou(answer.spans, spans) for answer in answers(group)])


@dataclass(frozen=True)
class TimestampAwareIoU:
    """IoU * (1 - |start error| / T) * (1 - |end error| / T), T the clip's duration in seconds (Time-R1, r_tIoU).

    A span far beyond the clip makes a factor negative: `clamp` keeps every factor at or above 0, the released code
    does not. Of several annotated spans the best counts; a list is compared as unions, with the errors of its hull.
    """

    clamp: bool = True

    def __call__(self, group: RolloutGroup) -> Tensor:
        spans, duration = _annotated(group), group.prompt.clip.duration
        if not duration > 0:
            raise ValueError(f"clip {group.prompt.clip.uid!r}: the duration must be positive, got {duration}")
        return torch.tensor([self._score(answer.spans, spans, duration) for answer in answers(group)])

    def _score(self, stated: Sequence[Span], annotated: Sequence[Span], duration: float) -> float:
        if len(stated) == 1:
            return max(self._aware(iou(stated[0], span), stated[0], span, duration) for span in annotated)
        return self._aware(best_iou(stated, annotated), _hull(stated), _hull(annotated), duration) if stated else 0.0

    def _aware(self, overlap: float, a: Span, b: Span, duration: float) -> float:
        if not overlap:
            return 0.0
        start, end = 1.0 - abs(a.start - b.start) / duration, 1.0 - abs(a.end - b.end) / duration
        return overlap * (max(0.0, start) * max(0.0, end) if self.clamp else start * end)


def _annotated(group: RolloutGroup) -> tuple[Span, ...]:
    target: Target = group.prompt.target
    if not target.spans:
        raise ValueError(f"prompt {group.prompt.uid!r} (task {group.prompt.task!r}) has no annotated span; restrict "
                         "the term with `tasks`")  # fmt: skip
    return target.spans


def _hull(spans: Sequence[Span]) -> Span:
    return Span(min(span.start for span in spans), max(span.end for span in spans))
