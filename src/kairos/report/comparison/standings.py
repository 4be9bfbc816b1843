"""Final scores of groups of runs: means with intervals, and paired differences from a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from kairos.evaluation.bootstrap import Interval, interval, paired
from kairos.evaluation.display import Display, Displays
from kairos.evaluation.predictions import UNKNOWN, Prediction
from kairos.evaluation.scores import applied, scores_of
from kairos.report.comparison.groups import Group
from kairos.report.comparison.same import another_set, one_validation_set, rewards
from kairos.runs.read import Run

TRAINING = "training, last tenth"
WHOLE = "training, whole"
OTHER_PROMPTS = "other prompts"
"""The baseline's score is over another set of prompts, so that a difference would mean nothing."""
THROUGHOUT = (
    "advantage/sign_flips", "advantage/groups_with_flips", "advantage/groups_without_positives",
    "injected/contamination",
)  # fmt: skip
"""Logged metrics that are averaged over all iterations."""


@dataclass(frozen=True)
class Standing:
    """One score of one group."""

    group: str
    task: str
    name: str
    """Name of the metric in the config."""
    heading: str
    """Its label for readers."""
    display: Display
    runs: int
    """Number of runs."""
    prompts: int | None
    """Number of prompts of each run; None where it is not known (logged metrics)."""
    value: Interval
    """Mean after training."""
    over: str
    """What the interval of `value` is over: seeds or prompts."""
    before: float | None
    """Mean before training."""
    change: Interval | None
    """Paired difference from the baseline; None where there is none."""
    change_over: str
    """What the interval of `change` is over: seeds or prompts; or why there is no difference: `OTHER_PROMPTS`."""


@dataclass(frozen=True)
class _Score:
    """One score of one run: its mean after and before training, and its value for each prompt if known."""

    mean: float
    before: float | None = None
    prompts: Mapping[str, float] = field(default_factory=dict)


def standings(groups: Sequence[Group], baseline: str | None = None) -> list[Standing]:
    """Standings by task, score and group. Differences are from `baseline` (default: the first group).

    With two or more seeds an interval is Student's t over seeds. With one seed, or if all seeds give the same number
    (an untrained model), it is bootstrapped over prompts. Differences are paired by seed or by prompt. Unfinished runs
    count only if no run is finished. ValueError if there is no group `baseline`.
    """
    names = [group.name for group in groups]
    if baseline is not None and baseline not in names:
        raise ValueError(f"baseline={baseline} is no group of these runs; there are {', '.join(names)}")
    found = _found(groups, logged(displays_of(groups), groups))
    keys = dict.fromkeys(key for runs in found.values() for scores in runs.values() for key in scores)
    order = sorted(keys, key=lambda key: (key[0] in (TRAINING, WHOLE), key[0]))
    base = found[names[0] if baseline is None else baseline] if names else {}
    rows, shown = list[Standing](), displays_of(groups)
    for task, name in order:
        reference = {seed: scores[task, name] for seed, scores in base.items() if (task, name) in scores}
        for group in names:
            mine = {seed: scores[task, name] for seed, scores in found[group].items() if (task, name) in scores}
            if mine:
                rows.append(_standing(group, task, name, shown, mine, {} if found[group] is base else reference))
    return rows


def displays_of(groups: Sequence[Group]) -> Displays:
    """The displays of all runs' metrics; if runs differ, those of the first."""
    shown = Displays()
    for run in (run for group in groups for run in group.runs.values()):
        shown = run.displays | shown
    return shown


def logged(shown: Displays, groups: Sequence[Group]) -> list[str]:
    """The logged metrics to compare at the end of training: rewards of one meaning, and validation's headline metrics.

    See `same`: runs that differ in their reward or its shape are compared by its raw terms, never by totals, and runs
    that validate on other prompts not by their validation.
    """
    validated = one_validation_set(groups)
    return [*rewards(groups), *(f"val/{name}" for name in shown.names("headline") if validated)]


def means(groups: Sequence[Group]) -> dict[str, dict[tuple[str, str], dict[str, float]]]:
    """The means behind the standings: by group, (task, score) and seed."""
    found: dict[str, dict[tuple[str, str], dict[str, float]]] = {}
    for group, runs in _found(groups, logged(displays_of(groups), groups)).items():
        here = found.setdefault(group, {})
        for seed, scores in runs.items():
            for key, score in scores.items():
                here.setdefault(key, {})[seed] = score.mean
    return found


def over_seeds(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean of two or more values.

    >>> [round(end, 3) for end in over_seeds([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    data = np.asarray(values, dtype=np.float64)
    half = float(stdtrit(len(data) - 1, (1 + confidence) / 2)) * float(data.std(ddof=1)) / len(data) ** 0.5
    mean = float(data.mean())
    return Interval(mean, mean - half, mean + half)


def _found(groups: Sequence[Group], at_the_end: Sequence[str]) -> dict[str, dict[str, dict[tuple[str, str], _Score]]]:
    """Scores by group, seed and (task, score). Unfinished runs count only if no run is finished."""
    finished = any(run.summary is not None for group in groups for run in group.runs.values())
    return {
        group.name: {
            s: _scores(run, at_the_end) for s, run in group.runs.items() if run.summary is not None or not finished
        }
        for group in groups
    }


def _standing(
    group: str, task: str, name: str, shown: Displays, mine: dict[str, _Score], base: dict[str, _Score]
) -> Standing:
    value, over = _interval(mine)
    before = [score.before for score in mine.values() if score.before is not None]
    change, change_over = _change(mine, base)
    return Standing(
        group, task, name, shown.heading(name), shown[name.rpartition("/")[2]], len(mine),
        _prompts(mine), value, over,
        float(np.mean(before)) if before else None, change, change_over,
    )  # fmt: skip


def _prompts(scores: Mapping[str, _Score]) -> int | None:
    """Of one run; the fewest where runs have different numbers."""
    return min((len(score.prompts) for score in scores.values() if score.prompts), default=None)


def _interval(scores: Mapping[str, _Score]) -> tuple[Interval, str]:
    means = [score.mean for score in scores.values()]
    score = next(iter(scores.values()))
    if len(set(means)) == 1 and score.prompts:
        return interval(list(score.prompts.values())), "prompts"
    if len(means) > 1:
        return over_seeds(means), "seeds"
    return Interval(score.mean, float("nan"), float("nan")), ""


def _change(mine: Mapping[str, _Score], base: Mapping[str, _Score]) -> tuple[Interval | None, str]:
    common = [seed for seed in mine if seed in base]
    if any(another_set(mine[seed].prompts, base[seed].prompts) for seed in common):
        return None, OTHER_PROMPTS
    changes = [mine[seed].mean - base[seed].mean for seed in common]
    if len(set(changes)) == 1:
        after, before = mine[common[0]].prompts, base[common[0]].prompts
        if after and before:
            return paired([before[uid] for uid in after], list(after.values())), "prompts"
    return (over_seeds(changes), "seeds") if len(changes) > 1 else (None, "")


def _scores(run: Run, at_the_end: Sequence[str]) -> dict[tuple[str, str], _Score]:
    """Scores by (task, score), from the predictions after training and from the logs.

    The task of a probe is "<task> (<probe>)".
    """
    found: dict[tuple[str, str], _Score] = {}
    before = _by_task(run.before)
    after = _by_task(run.after) | {
        f"{task} ({probe})": rows for probe, answers in run.probes.items() for task, rows in _by_task(answers).items()
    }
    for task, rows in after.items():
        for name in (name for name in applied(rows) if run.displays[name].in_tables):
            values, first = _values(name, rows), _values(name, before.get(task, []))
            found[task, name] = _Score(_mean(values), _mean(first) if first else None, values)
    for name in at_the_end:
        if name in run.metrics:
            found[TRAINING, name] = _Score(float(np.mean(run.metrics[name].last_tenth(run.iterations))))
    for name in THROUGHOUT:
        if name in run.metrics:
            found[WHOLE, name] = _Score(float(np.mean(run.metrics[name].values)))
    return found


def _by_task(rows: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    """Predictions by task; failed prompts of unknown task count in every task."""
    tasks = sorted({row.task for row in rows} - {UNKNOWN})
    return {task: [row for row in rows if row.task in (task, UNKNOWN)] for task in tasks}


def _values(name: str, rows: Sequence[Prediction]) -> dict[str, float]:
    return {row.uid: found[name] for row in rows if name in (found := scores_of(row))}


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values())))
