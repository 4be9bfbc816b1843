"""Metrics of chosen frames: how much of the annotated evidence they show. They need no right answer."""

from __future__ import annotations

from kairos.evaluation.metrics import Share
from kairos.evaluation.predictions import Prediction


class EvidenceRecall(Share):
    """Share of the evidence's stretches with at least one shown frame, ends included.

    Prompts without evidence, and those that nobody answered, are left out.
    """

    label = "evidence recall"
    shown = "headline"

    def value(self, prediction: Prediction) -> float | None:
        if prediction.frames is None or not prediction.evidence:
            return None
        found = [any(span.start <= second <= span.end for second in prediction.frames) for span in prediction.evidence]
        return sum(found) / len(found)


class EvidenceShare(Share):
    """Share of the shown frames that lie in the evidence, ends included (TSPO's R_T). Left out as in `EvidenceRecall`.

    0 where no frame was shown.
    """

    label = "evidence share"

    def value(self, prediction: Prediction) -> float | None:
        if prediction.frames is None or not prediction.evidence:
            return None
        inside = [any(s.start <= second <= s.end for s in prediction.evidence) for second in prediction.frames]
        return sum(inside) / max(1, len(inside))
