"""QVHighlights' official metrics of moments and of highlights; a prompt without a usable answer scores 0.

The official evaluation leaves a query without windows out of the mAP, stops at it in R1, and gives scores of 0 to all
clips where none are stated: here an answer without windows or scores is 0 in each.
"""

from __future__ import annotations

from collections.abc import Sequence

from kairos.credit.rewards.highlight import stated
from kairos.evaluation.benchmarks.average_precision import THRESHOLDS, score_precision, window_precisions
from kairos.evaluation.benchmarks.ranked import guess_ious
from kairos.evaluation.metrics import Share
from kairos.evaluation.predictions import Prediction

CLIP = 2.0
"""Seconds of one rated clip."""
LENGTHS = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0), "full": (0.0, 150.0)}
"""Seconds of an annotated window: above the first, at most the second."""
RATINGS = {"Fair": 2.0, "Good": 3.0, "VeryGood": 4.0}
"""The least rating of a clip that counts as a highlight."""


class MomentAP(Share):
    """MR-mAP: average precision of the windows, at `threshold` or over IoU 0.5, 0.55, ..., 0.95.

    `length`: only annotated windows of that length count, and prompts without any are left out.
    """

    def __init__(self, threshold: float | None = None, length: str = "full", sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if threshold is not None and threshold not in THRESHOLDS:
            raise ValueError(f"threshold must be one of {THRESHOLDS}, or null for all, got {threshold}")
        if length not in LENGTHS:
            raise ValueError(f"length must be one of {', '.join(LENGTHS)}, got {length!r}")
        self.threshold, self.length = threshold, length
        self.label = (
            "mAP" + ("" if threshold is None else f"@{threshold:g}") + ("" if length == "full" else f" {length}")
        )
        self.shown = "headline" if self.label == "mAP" else "table"

    def value(self, prediction: Prediction) -> float | None:
        low, high = LENGTHS[self.length]
        windows = [span for span in prediction.target_spans if low < span.length <= high]
        if not windows:
            return None
        precisions = window_precisions(prediction.windows, windows)
        return (
            sum(precisions) / len(precisions)
            if self.threshold is None
            else precisions[THRESHOLDS.index(self.threshold)]
        )


class MomentRecall(Share):
    """MR-R1@m: share of the prompts whose first window reaches `threshold` with its nearest annotated one."""

    shown = "table"

    def __init__(self, threshold: float, sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.threshold, self.label = threshold, f"MR-R1@{threshold:g}"

    def value(self, prediction: Prediction) -> float | None:
        if not prediction.target_spans:
            return None
        return float(max(guess_ious(prediction)[:1], default=0.0) >= self.threshold)


class _OfClips(Share):
    """A metric of the scores of 2 s clips; `rating` says which clips are highlights (Fair, Good, VeryGood)."""

    def __init__(self, rating: str = "VeryGood", sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if rating not in RATINGS:
            raise ValueError(f"rating must be one of {', '.join(RATINGS)}, got {rating!r}")
        self.rating = rating
        self.label = self.name if rating == "VeryGood" else f"{self.name} {rating}"
        self.shown = "headline" if rating == "VeryGood" else "table"

    name = ""

    def value(self, prediction: Prediction) -> float | None:
        if not prediction.rated or prediction.duration is None:
            return None
        scores = saliency_of(prediction)
        return self.of_clips(labels_of(prediction, RATINGS[self.rating]), scores) if scores else 0.0

    def of_clips(self, labels: Sequence[Sequence[bool]], scores: Sequence[float]) -> float:
        raise NotImplementedError


class HitAtOne(_OfClips):
    """HIT@1: share of the prompts whose highest scored clip is a highlight for any annotator."""

    name = "HIT@1"

    def of_clips(self, labels: Sequence[Sequence[bool]], scores: Sequence[float]) -> float:
        best = max(range(len(scores)), key=lambda clip: scores[clip])
        return float(any(best < len(each) and each[best] for each in labels))


class HighlightAP(_OfClips):
    """HL-mAP: average precision of the clips' scores, the mean over the annotators."""

    name = "HL-mAP"

    def of_clips(self, labels: Sequence[Sequence[bool]], scores: Sequence[float]) -> float:
        return sum(score_precision(each, scores) for each in labels) / len(labels)


def labels_of(prediction: Prediction, least: float) -> list[list[bool]]:
    """For each annotator, which clips of 2 s are rated at least `least`."""
    clips = int((prediction.duration or 0.0) / CLIP)
    annotators = len(prediction.rated[0]) - 1
    labels = [[False] * clips for _ in range(annotators)]
    for second, *ratings in prediction.rated:
        place = int(second / CLIP)
        for each, rating in zip(labels, ratings, strict=True):
            if place < clips:
                each[place] = rating >= least
    return labels


def saliency_of(prediction: Prediction) -> Sequence[float]:
    """A score for each clip: a submission's, or what the answer states and 0 elsewhere; empty if it states none."""
    if prediction.saliency is not None:
        return prediction.saliency
    marks = stated(prediction.text)
    if not marks:
        return ()
    scores = [0.0] * (int(max(second for second, _ in marks) / CLIP) + 1)
    for second, score in marks:
        scores[int(second / CLIP)] = score
    return scores
