"""The rewards of a prompt's K rollouts from repeated inference, as one line of a JSONL file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, pstdev
from typing import Protocol

ACCURACY = ("tiou", "iou", "highlights", "choice")
"""Raw terms that measure how right an answer is; of a prompt the first that it has is read."""
STATED = "difficulty"
"""Name of the value that the data itself states for a prompt that was not measured."""
TOTAL = "total"


@dataclass(frozen=True)
class PromptRewards:
    """`rewards` are the K totals, `terms` the K raw values of every term that scored the prompt.

    `duration` of the clip and `length` of the longest annotated span are in seconds, None where nothing says so.
    """

    uid: str
    task: str
    source: str
    rewards: tuple[float, ...] = ()
    terms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    duration: float | None = None
    length: float | None = None

    def values(self, of: Sequence[str] = ACCURACY) -> tuple[float, ...]:
        """The K values of the first term of `of` that the prompt has; "total" is the reward itself."""
        held = {**self.terms, TOTAL: self.rewards}
        found = next((name for name in of if held.get(name)), None)
        if found is None:
            raise ValueError(
                f"prompt {self.uid}: none of {', '.join(of)} was measured, only {', '.join(held)}: name one of those "
                f"with selector.of=[...]"
            )
        return held[found]

    def mean(self, of: Sequence[str] = ACCURACY) -> float:
        return fmean(self.values(of))

    def spread(self, of: Sequence[str] = ACCURACY) -> float:
        """The standard deviation over the K rollouts (population)."""
        return pstdev(self.values(of))


class Selector(Protocol):
    """Returns some of the rows, in their order unless the selector says otherwise; a row may be returned twice."""

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
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}, line {number} holds no rewards of a prompt ({error})") from error
    return rows
