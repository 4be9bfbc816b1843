"""Scores completions from a file, to try out rewards without policy, video or GPU.

The file need not fit into memory, and rows of one group need not be adjacent. It is read three times: first every row
is checked and its offset noted, then the groups are scored one by one, then what was found is written beside each row's
name and text. Before that the advantage is called with all groups of a step at once, as in training. Nothing is written
before all rows are checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO

import torch
from torch import Tensor

from kairos.core.answers import read
from kairos.core.files import json_line
from kairos.core.protocols import Advantage, Gate, Reward
from kairos.core.types import Origin, Prompt, Rollout, RolloutGroup, Template, VideoClip
from kairos.credit.earned import earned, refuse_group_rule
from kairos.credit.rows import Row, RowError, parse, read_rows


@dataclass
class Tally:
    """Counts over all scored rows, which `score.py` prints."""

    rows: int = 0
    injected: int = 0
    """Rows that the policy did not write; they are in no sum and no reason."""
    groups: int = 0
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    """(sum, number of rows) of each term, and of the total."""
    reasons: dict[str, int] = field(default_factory=dict)
    """How often each reason for an unreadable answer occurred."""

    def add(self, name: str, value: float) -> None:
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = (total + value, count + 1)

    def means(self) -> dict[str, tuple[float, int]]:
        """(mean, number of rows) by name, over rows of the policy."""
        return {name: (total / count, count) for name, (total, count) in self.sums.items()}


@dataclass(frozen=True)
class _Rewarded:
    """One group as the advantage needs it: line numbers, total rewards, and which rows are the policy's."""

    lines: Sequence[int]
    totals_G: Tensor
    on_policy_G: Tensor


@dataclass(frozen=True)
class Rescorer:
    """Reward, advantage and gate as in training, applied to rows of a file."""

    template: Template
    """Reads completions and judges their format."""
    reward: Reward
    advantage: Advantage
    gate: Gate

    def __post_init__(self) -> None:
        refuse_group_rule(self.advantage)

    def run(self, source: Path, output: Path) -> Tally:
        """Write one JSON row for each row of `source`, in the same order. RowError at the first unusable row.

        Rows hold `line`, `uid` (if the row of `source` has one) and `text`, the completion; `reward` (shaped, weighted
        and summed), `terms` (raw, by name), `reason` (why the answer could not be read, or null), `spans` (as read,
        pairs of seconds), `stated_choice` (the letter as read) where the target has a letter, and, with a group,
        `group`, `advantage` and `weight`. What rollouts.jsonl holds too has its name there.
        """
        if not source.is_file():
            raise ValueError(f"input={source}: there is no such file")
        if output.exists() and output.samefile(source):
            raise ValueError(f"output={output} is the input")
        groups = _groups(source)
        if not groups:
            raise ValueError(f"input={source} holds no rows")
        tally = Tally()
        output.parent.mkdir(parents=True, exist_ok=True)
        unfinished = output.with_name(f".{output.name}.unfinished")
        with (
            source.open("rb") as file,
            TemporaryFile("w+b", dir=output.parent) as scored,
            unfinished.open("wb") as written,
        ):
            credit = self._credit(self._score_file(_rows(file, source, groups), groups, scored, tally))
            scored.seek(0)
            for (line, _, row), text in zip(read_rows(source), scored, strict=True):
                named = {"line": line} if row.uid is None else {"line": line, "uid": row.uid}
                written.write(json_line(named | {"text": row.completion} | json.loads(text) | credit.get(line, {})))
        unfinished.replace(output)
        return tally

    def _score_file(
        self, rows: Iterator[list[Row]], groups: Sequence[Sequence[tuple[int, int]]], scored: IO[bytes], tally: Tally
    ) -> dict[str | None, list[_Rewarded]]:
        """Write scored rows, without advantages, in the order of their lines; returns the groups of each step."""
        due = iter(sorted(line for places in groups for line, _ in places))
        waiting: dict[int, dict[str, object]] = {}
        steps: dict[str | None, list[_Rewarded]] = {}
        line = next(due)
        for places, group_rows in zip(groups, rows, strict=True):
            lines = [number for number, _ in places]
            results, totals_G = self.score(group_rows, tally)
            if group_rows[0].group is not None:
                on_policy_G = torch.tensor([row.origin is Origin.POLICY for row in group_rows])
                steps.setdefault(group_rows[0].step, []).append(_Rewarded(lines, totals_G, on_policy_G))
            waiting |= dict(zip(lines, results, strict=True))
            while line in waiting:
                scored.write(json_line(waiting.pop(line)))
                line = next(due, 0)
        return steps

    def _credit(self, steps: Mapping[str | None, Sequence[_Rewarded]]) -> dict[int, dict[str, float]]:
        """Advantage and weight of each row of a group, by line number."""
        credit: dict[int, dict[str, float]] = {}
        for groups in steps.values():
            found = earned(self.advantage, self.gate, [g.totals_G for g in groups], [g.on_policy_G for g in groups])
            for group, one in zip(groups, found, strict=True):
                pairs = zip(one.advantages_G.tolist(), one.weights_G.tolist(), strict=True)
                credit |= {
                    line: {"advantage": advantage, "weight": weight}
                    for line, (advantage, weight) in zip(group.lines, pairs, strict=True)
                }
        return credit

    def score(self, rows: Sequence[Row], tally: Tally) -> tuple[list[dict[str, object]], Tensor]:
        """Output rows for the rows of one group, or for a single row without a group, and their total rewards [G]."""
        first = rows[0]
        for row in rows:
            if (row.target, row.task, str(row.duration)) != (first.target, first.task, str(first.duration)):
                raise RowError(f"{row.place}: another target, task or duration than {first.place} of the same group "
                               f"{row.group!r}")  # fmt: skip
        group = RolloutGroup(_prompt(first, self.template), tuple(_rollout(row) for row in rows))
        scores = self.reward(group)
        tally.groups += first.group is not None
        written: list[dict[str, object]] = []
        grammar = self.template.grammar
        for index, row in enumerate(rows):
            answer = read(row.completion, grammar)
            terms = {name: float(values_G[index]) for name, values_G in scores.terms.items()}
            result: dict[str, object] = {
                "reward": float(scores.total_G[index]),
                "terms": terms,
                "reason": scores.reasons[index],
                "spans": [list(span) for span in answer.spans],
            }
            if row.target.choice is not None:
                result["stated_choice"] = answer.choice
            if row.group is not None:
                result["group"] = row.group
            written.append(result)
            _count(tally, row, terms, float(scores.total_G[index]), scores.reasons[index])
        return written, scores.total_G


def _rows(file: BinaryIO, source: Path, groups: Sequence[Sequence[tuple[int, int]]]) -> Iterator[list[Row]]:
    """The rows of one group after another."""
    for places in groups:
        rows = []
        for number, offset in places:
            file.seek(offset)
            rows.append(parse(file.readline(), f"{source}, line {number}"))
        yield rows


def _groups(source: Path) -> list[list[tuple[int, int]]]:
    """(line, offset) of the rows of every group, in the order in which the groups begin."""
    named: dict[str, list[tuple[int, int]]] = {}
    groups: list[list[tuple[int, int]]] = []
    for number, offset, row in read_rows(source):
        place = (number, offset)
        if row.group is not None and row.group in named:
            named[row.group].append(place)
        else:
            groups.append([place])
            if row.group is not None:
                named[row.group] = groups[-1]
    return groups


def _prompt(row: Row, template: Template) -> Prompt:
    """A prompt whose uid is the row's file and line, so that errors of a reward name them."""
    clip = VideoClip(row.place, None, torch.zeros(0), row.duration)
    return Prompt(row.place, row.task, "rows", clip, row.question, row.target, template=template)


def _rollout(row: Row) -> Rollout:
    """A rollout with as many actions as the row says; their values are unknown, so they are zeros without storage."""
    actions_A = None if row.length is None else torch.zeros((), dtype=torch.long).expand(row.length)
    return Rollout(row.completion, actions_A, origin=row.origin, truncated=row.truncated)


def _count(tally: Tally, row: Row, terms: dict[str, float], total: float, reason: str | None) -> None:
    tally.rows += 1
    if row.origin is not Origin.POLICY:
        tally.injected += 1
        return
    for name, value in (*terms.items(), ("total", total)):
        tally.add(name, value)
    if reason is not None:
        tally.reasons[reason] = tally.reasons.get(reason, 0) + 1
