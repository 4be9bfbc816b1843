"""Time spans and the only intersection over union of the repository."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Span(NamedTuple):
    """An event in time: seconds from the start of the clip, `start < end` when it is proper."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return max(0.0, self.end - self.start)

    @property
    def proper(self) -> bool:
        """Finite, and of positive length."""
        return math.isfinite(self.start) and math.isfinite(self.end) and self.end > self.start


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
    """The same seconds as disjoint spans in order; spans without length are left out."""
    merged: list[Span] = []
    for span in sorted(s for s in spans if s.proper):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)


def set_iou(a: Sequence[Span], b: Sequence[Span]) -> float:
    """Intersection over union of two sets of spans, each taken as the seconds that it covers."""
    a, b = union(a), union(b)
    shared = sum(max(0.0, min(x.end, y.end) - max(x.start, y.start)) for x in a for y in b)
    total = sum(s.length for s in a) + sum(s.length for s in b) - shared
    return shared / total if total > 0 else 0.0


def best_iou(predicted: Sequence[Span], annotated: Sequence[Span]) -> float:
    """One predicted span scores the best annotated one; a predicted list scores the IoU of the unions."""
    if not predicted or not annotated:
        return 0.0
    if len(predicted) == 1:
        return max(iou(predicted[0], span) for span in annotated)
    return set_iou(predicted, annotated)


def recall(ious: Sequence[float], threshold: float) -> float:
    """Share of `ious` at or above `threshold`; ValueError on an empty list."""
    if not ious:
        raise ValueError("recall of no predictions is undefined")
    return sum(value >= threshold for value in ious) / len(ious)
