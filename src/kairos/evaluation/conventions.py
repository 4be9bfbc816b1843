"""Scores the same answers by the convention of a published evaluation, and says how its numbers differ from ours.

Ours: every row counts, an answer that nobody can read is 0, R1@m takes IoU >= m, nothing is rounded, and a mean is over
rows. A convention is a value that names its departures (conf/convention holds those of papers and harnesses).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from kairos.core.answers import read
from kairos.core.grammar import Grammar
from kairos.core.spans import Span, answer_iou
from kairos.evaluation.categories import by_group, macro
from kairos.evaluation.metrics import Share, Strict
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.scores import scored

_CHOICES = {
    "rounding": ("none", "whole", "outward"),
    "counted": ("all", "answered", "read"),
    "average": ("rows", "video", "category"),
    "unread": ("wrong", "whole clip"),
}


class Difference(NamedTuple):
    """One metric by our contract and by a convention."""

    name: str
    ours: float
    theirs: float

    def __str__(self) -> str:
        return f"{self.name}: ours {self.ours:.4f}, theirs {self.theirs:.4f} ({self.theirs - self.ours:+.4f})"


@dataclass(frozen=True)
class Convention:
    """How a published evaluation reads, rounds, leaves out and averages."""

    name: str
    source: str = ""
    """Where the rules can be read."""
    strict: bool = False
    """R1@m takes IoU > m."""
    rounding: Literal["none", "whole", "outward"] = "none"
    """Of stated times: to whole seconds, or starts down and ends up."""
    counted: Literal["all", "answered", "read"] = "all"
    """Rows that count: all; those that a model answered; those whose answer could be read."""
    average: Literal["rows", "video", "category"] = "rows"
    """The mean over rows, or over the means of videos or categories."""
    unread: Literal["wrong", "whole clip"] = "wrong"
    """What an answer without a usable span is taken for."""
    turned: bool = False
    """Reversed spans are turned around."""
    cut: bool = False
    """Stated spans are cut to the clip."""
    grammar: Grammar | None = None
    """Reads the text of each answer again; None: answers are taken as they were read."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")

    def judged(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """The rows that count, read and rounded by this convention, without scores."""
        rows = [self._judged(row) for row in predictions]
        return [row for row in rows if self._counts(row)]

    def metrics(self, metrics: Mapping[str, Share]) -> dict[str, Share]:
        """The metrics with this convention's inequality."""
        return {name: m.strictly() if self.strict and isinstance(m, Strict) else m for name, m in metrics.items()}

    def scores(self, predictions: Sequence[Prediction], metrics: Mapping[str, Share]) -> dict[str, float]:
        """The mean of each metric that applies; ValueError where no row counts."""
        rows = scored(self.judged(predictions), self.metrics(metrics))
        if not rows:
            raise ValueError(f"by the convention {self.name} none of {len(predictions)} rows counts")
        if self.average == "rows":
            return macro({"": rows})
        return macro(by_group(rows, self.average))

    def departures(self) -> dict[str, str]:
        """What differs from ours, as plain data for a manifest."""
        ours = Convention(self.name)
        names = ("strict", "rounding", "counted", "average", "unread", "turned", "cut")
        found = {name: str(getattr(self, name)) for name in names if getattr(self, name) != getattr(ours, name)}
        return found | ({"grammar": repr(self.grammar)} if self.grammar is not None else {})

    def _judged(self, row: Prediction) -> Prediction:
        if row.answered and self.grammar is not None:
            answer = read(row.text, replace(self.grammar, turn=self.grammar.turn or self.turned))
            spans = answer.spans if row.many else answer.spans[:1]
            reason = answer.span_reason if row.target_spans else None
            reason = reason or (answer.choice_reason if row.target_choice else None)
            row = replace(row, spans=spans, choice=answer.choice, reason=reason)
        spans = tuple(self._placed(span, row.duration) for span in row.spans)
        if not spans and row.target_spans and self.unread == "whole clip" and row.duration is not None:
            spans = (Span(0.0, row.duration),)
        compared = answer_iou(spans if row.many else spans[:1], row.target_spans, row.many)
        return replace(
            row,
            spans=spans,
            scores=None,
            iou=row.iou if row.iou is None else compared,
            correct=row.correct if row.target_choice is None else row.choice == row.target_choice,
        )

    def _placed(self, span: Span, duration: float | None) -> Span:
        start, end = sorted(span) if self.turned else span
        if self.cut and duration is not None:
            start, end = min(max(start, 0.0), duration), min(max(end, 0.0), duration)
        if not (math.isfinite(start) and math.isfinite(end)):
            return Span(start, end)
        if self.rounding == "whole":
            return Span(float(round(start)), float(round(end)))
        return Span(float(math.floor(start)), float(math.ceil(end))) if self.rounding == "outward" else Span(start, end)

    def _counts(self, row: Prediction) -> bool:
        return self.counted == "all" or (row.answered if self.counted == "answered" else row.reason is None)


OURS = Convention("ours")


def score_differences(
    predictions: Sequence[Prediction], convention: Convention, metrics: Mapping[str, Share]
) -> list[Difference]:
    """Each metric by our contract and by the convention, on the same answers."""
    ours, theirs = OURS.scores(predictions, metrics), convention.scores(predictions, metrics)
    return [Difference(name, ours[name], theirs[name]) for name in ours if name in theirs]
