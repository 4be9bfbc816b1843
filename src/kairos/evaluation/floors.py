"""Floors: the scores of trivial predictors that never look at the video, printed in every table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from kairos.core.spans import Span, ious, set_ious, union
from kairos.evaluation.predictions import Prediction


class Asked(NamedTuple):
    """What one prompt asks for."""

    spans: tuple[Span, ...]
    """The annotated spans."""
    duration: float
    """Seconds of the clip."""
    many: bool = False
    """The template's grammar lists spans, so answer and annotation are compared as sets."""


_HELD = 1_000_000  # numbers held at once


@dataclass(frozen=True)
class Floor:
    """One constant answer and its scores."""

    span: Span
    """In `unit`."""
    unit: str
    """seconds, or fractions of the duration."""
    ious: tuple[float, ...]
    """IoU for each prompt."""

    @property
    def miou(self) -> float:
        return sum(self.ious) / len(self.ious)

    def __str__(self) -> str:
        if self.unit == "seconds":
            return f"[{self.span.start:.1f} s, {self.span.end:.1f} s]"
        return f"[{self.span.start:.2f} T, {self.span.end:.2f} T]"


def annotated(predictions: Sequence[Prediction]) -> list[Asked]:
    """The targets of all prompts that ask for a span and have a known duration."""
    return [Asked(p.target_spans, p.duration, p.many) for p in predictions if p.target_spans and p.duration is not None]


def full_video(targets: Sequence[Asked]) -> Floor:
    """The floor of always answering the whole clip."""
    return _best(targets, torch.tensor([[0.0, 1.0]], dtype=torch.float64), "fractions")


def constant_span(targets: Sequence[Asked]) -> Floor:
    """The constant span of highest mIoU, in fractions of the duration or in seconds (cut at the duration).

    Both are searched on a grid of 5 % steps, then of 1 % steps around the best; for seconds 100 % is the time at which
    95 % of the annotated events have ended. ValueError without targets.
    """
    if not targets:
        raise ValueError("the best constant span of no targets is undefined")
    ends = sorted(span.end for target in targets for span in target.spans)
    late = ends[int(0.95 * (len(ends) - 1))]
    found = [_search(targets, 1.0, "fractions"), _search(targets, late, "seconds")]
    return max(found, key=lambda floor: floor.miou)


def chance(options: Sequence[int]) -> float:
    """The accuracy of guessing: mean of 1 / options over the questions. ValueError on none, or one without options."""
    if not options or min(options) < 1:
        raise ValueError(f"chance needs questions with at least one option each, got option counts {list(options)[:5]}")
    return sum(1 / count for count in options) / len(options)


def _search(targets: Sequence[Asked], whole: float, unit: str) -> Floor:
    coarse_N2 = torch.triu_indices(21, 21, offset=1).T.double() / 20
    near_N2 = torch.cartesian_prod(*[torch.arange(-4, 5).double() / 100] * 2)
    around_N2 = torch.tensor(_best(targets, coarse_N2 * whole, unit).span) / whole + near_N2
    inside_N2 = around_N2[
        (around_N2[:, 0] > -1e-9) & (around_N2[:, 0] < around_N2[:, 1]) & (around_N2[:, 1] < 1 + 1e-9)
    ]
    return _best(targets, inside_N2.clamp(0, 1) * whole, unit)


def _best(targets: Sequence[Asked], spans_N2: Tensor, unit: str) -> Floor:
    """The span of the highest mIoU among N constant ones, with several annotated spans treated as in `answer_iou`."""
    durations_M = torch.tensor([target.duration for target in targets], dtype=torch.float64)
    many_M = torch.tensor([target.many for target in targets])
    right = [union(target.spans) if target.many else target.spans for target in targets]
    most = max(1, *(len(spans) for spans in right))
    padded = [[*spans, *[(0.0, 0.0)] * (most - len(spans))] for spans in right]
    annotated_MS2 = torch.tensor(padded, dtype=torch.float64)

    def score(spans_N2: Tensor) -> Tensor:
        if unit == "fractions":
            answered_NM2 = spans_N2[:, None] * durations_M[:, None]
        else:
            answered_NM2 = torch.minimum(spans_N2[:, None], durations_M[:, None])
        best_NM = ious(answered_NM2[:, :, None], annotated_MS2).amax(-1)
        return torch.where(many_M, set_ious(answered_NM2, annotated_MS2), best_NM) if many_M.any() else best_NM

    rows = max(1, _HELD // annotated_MS2.numel())
    mious_N = torch.cat([score(chunk).mean(1) for chunk in spans_N2.split(rows)])
    best = spans_N2[mious_N.argmax()]
    return Floor(Span(*best.tolist()), unit, tuple(score(best[None])[0].tolist()))
