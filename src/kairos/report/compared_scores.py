"""Compares two evaluations row by row: what differs in how they were made, and a paired test of every score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from kairos.evaluation.manifest import ScoredRows, condition_differences
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.sample_size import rows_needed
from kairos.evaluation.scores import applied, scores_of
from kairos.evaluation.statistics import Paired, clustered_se, mean_se, paired_test

_NOT_COMPARED = ("commit",)
"""Named with the others, but no reason for another score by itself."""


@dataclass(frozen=True)
class Change:
    """One score of two evaluations of the same rows."""

    score: str
    before: float
    after: float
    test: Paired
    """Clustered by video where rows share one."""


def what_differs(one: ScoredRows, other: ScoredRows) -> list[str]:
    """A line for each condition in which two evaluations differ; one line that says so where there is none."""
    found = condition_differences(one.manifest, other.manifest)
    lines = [f"{name}: {before} -> {after}" for name, (before, after) in found.items()]
    moved = [name for name in found if name not in _NOT_COMPARED]
    if not found:
        return ["the manifests are equal: the evaluations differ in their answers alone"]
    return [f"the evaluations differ in {', '.join(moved) or 'the commit alone'}:", *(f"  {line}" for line in lines)]


def changes(before: Sequence[Prediction], after: Sequence[Prediction]) -> list[Change]:
    """A paired test of every score that both have. ValueError unless they are predictions of the same rows."""
    mine = {row.uid: row for row in before}
    theirs = {row.uid: row for row in after}
    if mine.keys() != theirs.keys():
        raise ValueError(f"{len(mine.keys() ^ theirs.keys())} rows are in one of the evaluations only")
    found = []
    for name in applied([*mine.values()]):
        pairs = [(scores_of(mine[uid]).get(name), scores_of(theirs[uid]).get(name), uid) for uid in mine]
        both = [(one, other, uid) for one, other, uid in pairs if one is not None and other is not None]
        clusters = [_cluster(mine[uid]) for _, _, uid in both]
        if len(set(clusters)) > 1:
            ones, others = [one for one, _, _ in both], [other for _, other, _ in both]
            found.append(Change(name, fmean(ones), fmean(others), paired_test(ones, others, clusters)))
    return found


def needed(difference: float, before: Sequence[Prediction], after: Sequence[Prediction] | None) -> Mapping[str, int]:
    """How many rows show such a difference of each score (two-sided 5 %, power 80 %), as these rows vary.

    Without a second evaluation the two runs' scores are taken to correlate with 0.5. Rows that share videos count for
    less: the number is raised by how much clustering widens the error here.
    """
    found: dict[str, int] = {}
    others = None if after is None else {row.uid: scores_of(row) for row in after}
    for name in applied(before):
        rows = [(row, scores_of(row)[name]) for row in before if name in scores_of(row)]
        values = [value for _, value in rows]
        deviation, correlation = pstdev(values), 0.5
        if others is not None:
            theirs = [others.get(row.uid, {}).get(name, math.nan) for row, _ in rows]
            if not any(map(math.isnan, theirs)):
                deviation = math.sqrt((pstdev(values) ** 2 + pstdev(theirs) ** 2) / 2)
                correlation = _correlation(values, theirs)
        if deviation > 0 and len(values) > 1:
            effect = _design_effect(values, [_cluster(row) for row, _ in rows])
            found[name] = math.ceil(effect * rows_needed(difference, deviation, min(correlation, 0.999)))
    return found


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    spread = pstdev(one) * pstdev(other)
    if spread == 0:
        return 0.0
    middle = fmean(one), fmean(other)
    return fmean((a - middle[0]) * (b - middle[1]) for a, b in zip(one, other, strict=True)) / spread


def _design_effect(values: Sequence[float], clusters: Sequence[str]) -> float:
    """By how much the variance of a mean grows because rows share videos; 1 at least."""
    plain, clustered = mean_se(values)[1], clustered_se(values, clusters)[1]
    return max(1.0, (clustered / plain) ** 2) if plain > 0 and not math.isnan(clustered) else 1.0


def _cluster(row: Prediction) -> str:
    """What rows of one video share."""
    return row.video or row.uid
