"""Time spans, sets of spans, their IoU, and the rule for prompts with several annotated spans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Span(NamedTuple):
    """An event in time: `start` and `end` in seconds from the start of the clip."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return max(0.0, self.end - self.start)

    @property
    def proper(self) -> bool:
        """Finite, and of positive length."""
        return math.isfinite(self.start) and math.isfinite(self.end) and self.end > self.start


def inside(seconds_T: Tensor, spans: Sequence[Span]) -> Tensor:
    """Which moments lie in any of the spans, ends included: bool [T].

    >>> inside(torch.tensor([0.0, 1.0, 2.0]), [Span(1.0, 1.5)]).tolist()
    [False, True, False]
    """
    inside_T = torch.zeros(len(seconds_T), dtype=torch.bool)
    for span in spans:
        inside_T |= (seconds_T >= span.start) & (seconds_T <= span.end)
    return inside_T


def iou(a: Span, b: Span) -> float:
    """Intersection over the hull of two spans, 0 where they do not overlap or one of them is not proper.

    >>> round(iou(Span(5.0, 11.6), Span(5.1, 10.2)), 6)
    0.772727
    """
    if not (a.proper and b.proper):
        return 0.0
    intersection = min(a.end, b.end) - max(a.start, b.start)
    hull = max(a.end, b.end) - min(a.start, b.start)
    return intersection / hull if intersection > 0 else 0.0


def ious(a: Tensor, b: Tensor) -> Tensor:
    """`iou` for many spans at once: [..., 2] and [..., 2], broadcast against each other, give [...]."""
    intersection = torch.minimum(a[..., 1], b[..., 1]) - torch.maximum(a[..., 0], b[..., 0])
    hull = torch.maximum(a[..., 1], b[..., 1]) - torch.minimum(a[..., 0], b[..., 0])
    return torch.where((intersection > 0) & (hull > 0), intersection / hull, 0.0)


def union(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Merges overlapping spans: disjoint spans in order that cover the same seconds; improper ones are dropped."""
    merged: list[Span] = []
    for span in sorted(s for s in spans if s.proper):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)


def set_iou(a: Sequence[Span], b: Sequence[Span]) -> float:
    """Intersection over union of two sets of spans, each taken as the seconds that it covers; 0 where one is empty.

    >>> set_iou([Span(0.0, 10.0)], [Span(0.0, 10.0), Span(20.0, 30.0)])
    0.5
    """
    if len(a) == len(b) == 1:
        return iou(a[0], b[0])
    a, b = union(a), union(b)
    shared = sum(max(0.0, min(x.end, y.end) - max(x.start, y.start)) for x in a for y in b)
    total = sum(s.length for s in a) + sum(s.length for s in b) - shared
    return shared / total if total > 0 else 0.0


def set_ious(span: Tensor, disjoint: Tensor) -> Tensor:
    """`set_iou` of single spans [..., 2] with sets [..., S, 2] of disjoint spans (pad with (0, 0)): [...]."""
    ends = torch.minimum(span[..., None, 1], disjoint[..., 1])
    starts = torch.maximum(span[..., None, 0], disjoint[..., 0])
    shared = (ends - starts).clamp(min=0.0).sum(-1)
    total = span[..., 1] - span[..., 0] + (disjoint[..., 1] - disjoint[..., 0]).sum(-1) - shared
    return torch.where((shared > 0) & (total > 0), shared / total, 0.0)


def alternatives(annotated: Sequence[Span], many: bool) -> tuple[tuple[Span, ...], ...]:
    """The right answers, each a set of spans: one set of all spans if the grammar lists spans, else each span alone.

    `many` is that of the template's grammar. Rewards, metrics, floors and injections all use this rule.

    >>> alternatives([Span(0, 1), Span(4, 9)], many=True)
    ((Span(start=0, end=1), Span(start=4, end=9)),)
    >>> alternatives([Span(0, 1), Span(4, 9)], many=False)
    ((Span(start=0, end=1),), (Span(start=4, end=9),))
    """
    if many:
        return (tuple(annotated),) if annotated else ()
    return tuple((span,) for span in annotated)


def answer_iou(answered: Sequence[Span], annotated: Sequence[Span], many: bool) -> float:
    """The highest IoU of an answer with any of the right answers (`alternatives`); 0 if there is no span.

    ValueError for several answered spans of a grammar that does not list spans.
    """
    if len(answered) > 1 and not many:
        raise ValueError(f"a grammar that does not list spans (many=False) gave {len(answered)} of them")
    return max((set_iou(answered, right) for right in alternatives(annotated, many)), default=0.0)


def to_write(annotated: Sequence[Span], many: bool) -> tuple[Span, ...]:
    """The spans that a written answer states: the union of all if the grammar lists spans, else the longest one."""
    if many:
        return union(annotated)
    return max(alternatives(annotated, many), key=lambda right: right[0].length)


def recall(ious: Sequence[float], threshold: float) -> float:
    """Share of `ious` at or above `threshold`; ValueError on an empty list."""
    if not ious:
        raise ValueError("recall of no predictions is undefined")
    return sum(value >= threshold for value in ious) / len(ious)
