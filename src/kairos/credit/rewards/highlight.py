"""A reward term for highlight detection: stated times and saliency scores against the annotated ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.answers import blocks
from kairos.core.types import RolloutGroup

Highlight = tuple[float, float]

_NUMBER = re.compile(r"\d++(?:\.\d++)?")
_SCORES = re.compile("saliency|scores", re.IGNORECASE)


@dataclass(frozen=True)
class Highlights:
    """0.6 * F2 + 0.4 / (1 + WMSE), [G] in [0, 1] (TempSamp-R1, R_ts).

    Stated and annotated times are matched one to one, in order of time, if they differ by at most `tolerance`. F2 of
    the matches weighs recall over precision; WMSE is the mean squared error of the saliency over the matches, weighted
    by the squared annotated saliency. The paper gives neither the tolerance nor the reward without a match: chosen are
    1 s (its clips are 2 s apart) and 0. ValueError if the prompt has no highlights.
    """

    tolerance: float = 1.0
    """Seconds."""
    timing: float = 0.6
    """Weight of F2; the rest is the saliency's."""

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise ValueError(f"tolerance must be >= 0 seconds, got {self.tolerance}")
        if not 0 <= self.timing <= 1:
            raise ValueError(f"timing, the share of F2, must lie in [0, 1], got {self.timing}")

    def __call__(self, group: RolloutGroup) -> Tensor:
        prompt = group.prompt
        if not prompt.target.highlights:
            raise ValueError(
                f"prompt {prompt.uid!r} (task {prompt.task!r}) has no highlights; restrict the term with `tasks`"
            )
        annotated = sorted(prompt.target.highlights)
        return torch.tensor([self._score(stated(rollout.text), annotated) for rollout in group.rollouts])

    def _score(self, said: Sequence[Highlight], annotated: Sequence[Highlight]) -> float:
        pairs = _matched(said, annotated, self.tolerance)
        if not pairs:
            return 0.0
        precision, recall = len(pairs) / len(said), len(pairs) / len(annotated)
        f2 = 5 * precision * recall / (4 * precision + recall)
        weight = sum(true * true for _, true in pairs)
        error = sum(true * true * (score - true) ** 2 for score, true in pairs) / weight if weight else 0.0
        return self.timing * f2 + (1 - self.timing) / (1 + error)


def stated(text: str) -> list[Highlight]:
    """(seconds, saliency) in order of time; empty unless there are as many scores as times.

    Reads the last answer block, else the whole text: times before the word "saliency" or "scores", scores after it.

    >>> stated("The highlight timestamps are in the 82, 84 seconds. Their saliency scores are 1.3, 1.7.")
    [(82.0, 1.3), (84.0, 1.7)]
    """
    block = text
    for content in blocks(text):
        block = content
    divided = _SCORES.search(block)
    if divided is None:
        return []
    seconds = [float(number) for number in _NUMBER.findall(block, 0, divided.start())]
    scores = [float(number) for number in _NUMBER.findall(block, divided.end())]
    return sorted(zip(seconds, scores, strict=True)) if len(seconds) == len(scores) else []


def _matched(said: Sequence[Highlight], annotated: Sequence[Highlight], tolerance: float) -> list[tuple[float, float]]:
    """(stated, annotated) saliency of each matched pair; both lists are in order of time."""
    pairs, position = [], 0
    for second, true in annotated:
        while position < len(said) and said[position][0] < second - tolerance:
            position += 1
        if position < len(said) and said[position][0] <= second + tolerance:
            pairs.append((said[position][1], true))
            position += 1
    return pairs
