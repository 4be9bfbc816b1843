"""Metrics of several guesses for one span, in order: Ego4D-NLQ's recall among the first k, and mean of the best three.

A prompt's guesses are those of a submission (`Prediction.ranked`); a model's answer has as many as it states spans.
"""

from __future__ import annotations

from kairos.core.spans import Span, iou
from kairos.evaluation.metrics import Share
from kairos.evaluation.predictions import Prediction


class RankedRecall(Share):
    """R@k: share of the prompts where one of the first `first` guesses exceeds (`strict`) or reaches `threshold`."""

    def __init__(
        self,
        threshold: float,
        first: int = 1,
        strict: bool = False,
        shown: str = "table",
        sync_on_compute: bool = False,
    ) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if first < 1 or not 0 < threshold <= 1:
            raise ValueError(f"first must be >= 1 and threshold lie in (0, 1], got {first} and {threshold}")
        self.threshold, self.first, self.strict, self.shown = threshold, first, strict, shown
        self.label = f"R@{first}, IoU {threshold:g}"

    def value(self, prediction: Prediction) -> float | None:
        if not prediction.target_spans:
            return None
        best = max(guess_ious(prediction)[: self.first], default=0.0)
        return float(best > self.threshold if self.strict else best >= self.threshold)

    def strictly(self) -> RankedRecall:
        return RankedRecall(self.threshold, self.first, strict=True, shown=self.shown)


class BestGuesses(Share):
    """The mean IoU of each prompt's `best` guesses with the highest IoU (3 in Ego4D-NLQ's "mIoU")."""

    shown = "table"

    def __init__(self, best: int = 3, sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if best < 1:
            raise ValueError(f"best must be >= 1, got {best}")
        self.best, self.label = best, f"mIoU of the best {best}"

    def value(self, prediction: Prediction) -> float | None:
        if not prediction.target_spans:
            return None
        found = sorted(guess_ious(prediction), reverse=True)[: self.best]
        return sum(found) / len(found) if found else 0.0


def guesses(prediction: Prediction) -> tuple[Span, ...]:
    """The stated spans in the order in which they are meant to count."""
    return tuple(Span(start, end) for start, end, _ in prediction.windows)


def guess_ious(prediction: Prediction) -> list[float]:
    """The best IoU of each guess with an annotated span, in the order of the guesses."""
    return [max(iou(guess, span) for span in prediction.target_spans) for guess in guesses(prediction)]
