"""Chooses the prompts that take part in a run: once before it, or again after every epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kairos.curriculum.rewards import PromptRewards, Selector, read_rewards
from kairos.curriculum.selections import Selection

SOURCES = ("rollouts", "pass")


@dataclass(frozen=True)
class Subset:
    """The prompts that `selector` keeps of a data set, chosen once before the run."""

    selector: Selector
    rewards: str | None = None
    """A file of measured rewards (`read_rewards`); None: the selector reads the records' own `difficulty`."""
    scale: float = 1.0
    """Multiplies a record's stated `difficulty`, which has its data set's own scale."""

    def selection(self, known: Sequence[PromptRewards]) -> Selection:
        """The selection from the file, or from `known`, which the records say. ValueError if nothing is left."""
        rows = known if self.rewards is None else read_rewards(self.rewards)
        return Selection(tuple(row.uid for row in self.selector(rows)))


@dataclass(frozen=True)
class Refiltering:
    """After every epoch, keeps only the prompts that `selector` chooses (Time-R1: 0 < tIoU <= 0.7)."""

    selector: Selector
    source: str = "rollouts"
    """Which answers the selector reads.

    "pass": one greedy answer to every prompt of the run with the current weights, as released. "rollouts": the finished
    epoch's on-policy rollouts, at no cost; a departure, because they are sampled, each with the weights of its
    iteration, and a dropped prompt never returns.
    """

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"curriculum.refilter.source must be one of {', '.join(SOURCES)}, got {self.source!r}")

    def kept(self, pool: Sequence[str], rows: Sequence[PromptRewards]) -> list[str]:
        """The uids of `pool` that stay in the run; one without rewards (dropped from an incomplete step) stays."""
        measured = {row.uid for row in rows}
        chosen = {row.uid for row in self.selector(rows)}
        return [uid for uid in pool if uid in chosen or uid not in measured]


def by_prompt(rollouts: Iterable[Mapping[str, object]]) -> list[PromptRewards]:
    """Groups rows of rollouts.jsonl by prompt, in order of first appearance; only rows that the policy sampled."""
    groups: dict[str, list[Mapping[str, object]]] = {}
    for row in rollouts:
        if row["origin"] == "policy":
            groups.setdefault(str(row["uid"]), []).append(row)
    return [_measured(uid, rows) for uid, rows in groups.items()]


def _measured(uid: str, rows: list[Mapping[str, object]]) -> PromptRewards:
    terms: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row["terms"].items():  # type: ignore[attr-defined]
            terms.setdefault(name, []).append(float(value))
    return PromptRewards(
        uid=uid,
        task=str(rows[0]["task"]),
        source=str(rows[0]["source"]),
        rewards=tuple(float(row["reward"]) for row in rows),  # type: ignore[arg-type]
        terms={name: tuple(values) for name, values in terms.items()},
    )
