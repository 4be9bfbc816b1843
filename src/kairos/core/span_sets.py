"""Compares two sets of spans, stated and annotated, as TimeLens2 (arXiv 2607.17423) and MUSEG do.

Stated spans are merged where they touch, annotated ones are not: seconds that two annotations share count twice, in the
intersection and in the union. `kairos.core.spans.set_iou` merges both.
"""

from __future__ import annotations

from collections.abc import Sequence

from kairos.core.spans import Span, union


def set_overlap(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """Seconds of the merged stated spans inside each annotated span, summed over the annotated spans."""
    return sum(max(0.0, min(a.end, b.end) - max(a.start, b.start)) for a in union(stated) for b in annotated)


def covered(spans: Sequence[Span]) -> float:
    """Seconds that the spans cover together."""
    return sum(span.length for span in union(spans))


def set_tiou(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """Overlap over union, in [0, 1]; 1 where both sets are empty, 0 where one is.

    >>> set_tiou([Span(0, 10)], [Span(0, 10), Span(5, 15)])
    1.0
    """
    if not stated and not annotated:
        return 1.0
    shared, total = _parts(stated, annotated)
    return min(1.0, max(0.0, shared / total)) if total > 0 else 0.0


def set_precision(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """Share of the stated seconds that are annotated, at most 1; 0 where none is stated."""
    length = covered(stated)
    return min(1.0, set_overlap(stated, annotated) / length) if length > 0 else 0.0


def set_recall(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """Share of the annotated seconds that are stated; 0 where none is annotated."""
    length = sum(span.length for span in annotated)
    return set_overlap(stated, annotated) / length if length > 0 else 0.0


def set_giou(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """`set_tiou` less the share of the hull of all spans that lies in no span, in (-1, 1].

    An exact answer of several spans with a gap between them stays below 1. 0 where one set is empty, 1 where both are.

    >>> round(set_giou([Span(0, 10)], [Span(20, 30)]), 6)
    -0.333333
    """
    if not stated or not annotated:
        return float(not stated and not annotated)
    hull = max(span.end for span in (*stated, *annotated)) - min(span.start for span in (*stated, *annotated))
    outside = hull - covered([*stated, *annotated])
    return set_tiou(stated, annotated) - outside / hull if hull > 0 else 0.0


def paired_giou(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """(1 + GIoU) / 2 of the spans paired in order of their starts, over the larger count (MUSEG's nGIoU), in [0, 1].

    >>> paired_giou([Span(0, 10)], [Span(0, 10), Span(20, 30)])
    0.5
    """
    most = max(len(stated), len(annotated))
    pairs = zip(sorted(stated), sorted(annotated), strict=False)
    return sum((1 + set_giou([a], [b])) / 2 for a, b in pairs) / most if most else 1.0


def _parts(stated: Sequence[Span], annotated: Sequence[Span]) -> tuple[float, float]:
    """Seconds of the intersection, and of the union."""
    shared = set_overlap(stated, annotated)
    return shared, covered(stated) + sum(span.length for span in annotated) - shared
