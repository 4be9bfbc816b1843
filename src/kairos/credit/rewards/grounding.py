"""Reward terms for temporal grounding: IoU of stated and annotated spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kairos.core.spans import Span, alternatives, answer_iou, set_iou
from kairos.core.types import RolloutGroup, Target
from kairos.credit.rewards.answered import answers, template_of


@dataclass(frozen=True)
class IoU:
    """Temporal IoU [G] in [0, 1] (TimeZero), 0 if the answer states no proper span.

    Of several annotated spans the best one counts, or the union of all if the template's grammar lists spans (`many`).
    ValueError if no span is annotated.
    """

    def __call__(self, group: RolloutGroup) -> Tensor:
        spans, many = annotated_spans(group), template_of(group.prompt).grammar.many
        return torch.tensor([answer_iou(answer.spans, spans, many) for answer in answers(group)])


@dataclass(frozen=True)
class TimestampAwareIoU:
    """IoU * (1 - |start error| / T) * (1 - |end error| / T), T the clip's duration in seconds (Time-R1, r_tIoU).

    Several annotated spans are treated as in `IoU`; start and end of a list are those of its hull.
    """

    clamp: bool = True
    """Keep each factor >= 0: it is negative for a span far outside the clip. The released code does not."""

    def __call__(self, group: RolloutGroup) -> Tensor:
        spans, duration = annotated_spans(group), group.prompt.clip.duration
        if not duration > 0:
            raise ValueError(f"clip {group.prompt.clip.uid!r}: the duration must be positive, got {duration}")
        right = alternatives(spans, template_of(group.prompt).grammar.many)
        return torch.tensor(
            [max(self._score(answer.spans, spans, duration) for spans in right) for answer in answers(group)]
        )

    def released(self) -> TimestampAwareIoU:
        """As in Time-R1's released code: factors may be negative."""
        return replace(self, clamp=False)

    def _score(self, stated: Sequence[Span], right: Sequence[Span], duration: float) -> float:
        overlap = set_iou(stated, right)
        if not overlap:
            return 0.0
        a, b = _hull(stated), _hull(right)
        start, end = 1.0 - abs(a.start - b.start) / duration, 1.0 - abs(a.end - b.end) / duration
        return overlap * (max(0.0, start) * max(0.0, end) if self.clamp else start * end)


def annotated_spans(group: RolloutGroup) -> tuple[Span, ...]:
    """The annotated spans of a group's prompt; ValueError where there are none."""
    target: Target = group.prompt.target
    if not target.spans:
        raise ValueError(f"prompt {group.prompt.uid!r} (task {group.prompt.task!r}) has no annotated span; restrict "
                         "the term with `tasks`")  # fmt: skip
    return target.spans


def _hull(spans: Sequence[Span]) -> Span:
    return Span(min(span.start for span in spans), max(span.end for span in spans))
