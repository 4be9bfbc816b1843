"""How well the stated spans fit the annotated ones."""

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
    """Temporal IoU [G] in [0, 1] (TimeZero): with the best annotated span, or of the unions where answers list spans.

    Whether answers list spans is asked of the template's grammar (`many`). 0 where the answer states no proper span;
    ValueError where nothing is annotated.
    """

    def __call__(self, group: RolloutGroup) -> Tensor:
        spans, many = annotated_spans(group), template_of(group.prompt).grammar.many
        return torch.tensor([answer_iou(answer.spans, spans, many) for answer in answers(group)])


@dataclass(frozen=True)
class TimestampAwareIoU:
    """IoU * (1 - |start error| / T) * (1 - |end error| / T), T the clip's duration in seconds (Time-R1, r_tIoU).

    A span far beyond the clip makes a factor negative: `clamp` keeps every factor at or above 0, the released code
    does not. Several annotated spans are treated as in `IoU`; the errors of a list are those of its hull.
    """

    clamp: bool = True

    def __call__(self, group: RolloutGroup) -> Tensor:
        spans, duration = annotated_spans(group), group.prompt.clip.duration
        if not duration > 0:
            raise ValueError(f"clip {group.prompt.clip.uid!r}: the duration must be positive, got {duration}")
        right = alternatives(spans, template_of(group.prompt).grammar.many)
        return torch.tensor(
            [max(self._score(answer.spans, spans, duration) for spans in right) for answer in answers(group)]
        )

    def released(self) -> TimestampAwareIoU:
        """As Time-R1's code: factors may be negative."""
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
