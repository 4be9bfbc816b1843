"""The rewards of a prompt's rollouts from repeated inference: one line of JSONL for each prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, pstdev
from typing import Protocol

ACCURACY = ("tiou", "iou", "highlights", "choice")
"""Raw terms that measure how right an answer is; selectors read the first one that a prompt has."""
STATED = "difficulty"
"""Name of the value of an unmeasured prompt, which the data set itself gives."""
TOTAL = "total"


@dataclass(frozen=True)
class PromptRewards:
    """The rewards of K rollouts of one prompt."""

    uid: str
    task: str
    source: str
    """Name of the data set."""
    rewards: tuple[float, ...] = ()
    """K totals."""
    terms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """K raw values of each term that scored the prompt, by name."""
    duration: float | None = None
    """Seconds of the clip, None if unknown."""
    length: float | None = None
    """Seconds of the longest annotated span, None if there is none."""

    def values(self, of: Sequence[str] = ACCURACY) -> tuple[float, ...]:
        """The K values of the first term in `of` that the prompt has; "total" stands for the rewards."""
        held = self._held()
        found = next((name for name in of if held.get(name)), None)
        if found is None:
            raise ValueError(
                f"prompt {self.uid}: none of {', '.join(of)} was measured, only {', '.join(held)}: name one of those "
                f"with selector.of=[...]"
            )
        return held[found]

    def has(self, term: str) -> bool:
        """Whether a term was measured; "total" stands for the rewards."""
        return bool(self._held().get(term))

    def _held(self) -> dict[str, tuple[float, ...]]:
        return {**self.terms, TOTAL: self.rewards}

    def mean(self, of: Sequence[str] = ACCURACY) -> float:
        return fmean(self.values(of))

    def spread(self, of: Sequence[str] = ACCURACY) -> float:
        """The standard deviation over the K rollouts (population)."""
        return pstdev(self.values(of))


class Selector(Protocol):
    """Returns the selected rows, in their order unless the selector says otherwise; a row may come twice."""

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]: ...


def line(row: PromptRewards) -> str:
    return json.dumps(asdict(row), ensure_ascii=False) + "\n"


def read_rewards(path: str | Path) -> list[PromptRewards]:
    """The measured prompts of a file, without those that failed. ValueError names a line that cannot be read."""
    rows = []
    for number, text in enumerate(Path(path).read_bytes().splitlines(), start=1):
        try:
            content = json.loads(text)
            if "failed" in content:
                continue
            content["rewards"] = tuple(content["rewards"])
            content["terms"] = {name: tuple(values) for name, values in content["terms"].items()}
            rows.append(PromptRewards(**content))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}, line {number} holds no rewards of a prompt ({error})") from error
    return rows
