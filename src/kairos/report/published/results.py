"""Turns finished runs into a committed result: <table>.json with all numbers, <table>.md for readers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from kairos.core.files import write_whole
from kairos.evaluation.bootstrap import Interval
from kairos.report.comparison.groups import Group
from kairos.report.comparison.standings import Standing, displays_of, means, standings
from kairos.report.published.definition import TableDefinition
from kairos.report.published.ordering import Pair, pairs, tally
from kairos.report.published.result_text import result_text
from kairos.runs.read import Run, read_run

PARTS = 6
"""A metric over time is averaged over so many equal parts of a run."""


def write_result(
    table: TableDefinition, folders: Mapping[str, Sequence[Path]], output: Path, commands: Sequence[str]
) -> str:
    """Write <output>/<table>.json and .md from the finished runs of each row; returns the text of the latter.

    `folders` by row; those without a finished run are skipped. ValueError if none is left.
    """
    groups = [Group(name, _finished(folders.get(name, ()), row.arm), {}) for name, row in table.rows.items()]
    if not any(group.runs for group in groups):
        raise ValueError(f"{table.name}: none of its runs has finished")
    values = means(groups)
    rows = [row for row in standings(groups, table.baseline) if row.name in table.scores.get(row.task, ())]
    rows.sort(key=lambda row: (list(table.scores).index(row.task), table.scores[row.task].index(row.name)))
    compared = {claim.name: pairs(claim, values) for claim in table.published}
    curves = {group.name: over_time(list(group.runs.values()), table.over_time) for group in groups if group.runs}
    shown = displays_of(groups)
    whole: dict[str, object] = {
        "table": table.name,
        "title": table.title,
        "baseline": table.baseline,
        "experiments": {name: str(row) for name, row in table.rows.items()},
        "seeds": {group.name: sorted(group.runs) for group in groups},
        "displays": {name: asdict(shown[name]) for name in shown},
        "rows": [_row(row, values[row.group][row.task, row.name]) for row in rows],
        "over_time": {row: {name: list(series) for name, series in found.items()} for row, found in curves.items()},
        "published": [
            {
                "where": claim.where, "source": claim.source, "score": claim.score,
                **tally(compared[claim.name]), "pairs": [_pair(pair) for pair in compared[claim.name]],
            }
            for claim in table.published
        ],
        "commands": list(commands),
        "machine": _machine(groups),
    }  # fmt: skip
    write_whole(output / f"{table.name}.json", json.dumps(whole, indent=1) + "\n")
    text = result_text(table, json.loads(json.dumps(whole)))
    write_whole(output / f"{table.name}.md", text)
    return text


def over_time(runs: Sequence[Run], metrics: Sequence[str]) -> dict[str, list[float | None]]:
    """Each metric's mean over the runs in each of six equal parts of their iterations; None in a part without one.

    Runs of fewer iterations than parts are left out.
    """
    found: dict[str, list[float | None]] = {}
    for name in metrics:
        series = [run.metrics[name] for run in runs if name in run.metrics]
        last = max(run.iterations for run in runs)
        if series and last >= PARTS:
            ends = [round(last * part / PARTS) for part in range(PARTS + 1)]
            found[name] = [
                _mean([v for one in series for at, v in zip(one.at, one.values, strict=True) if low < at <= high])
                for low, high in pairwise(ends)
            ]
    return found


def _finished(folders: Sequence[Path], arm: str | None) -> dict[str, Run]:
    runs = [read_run(folder) for folder in folders if (folder / "summary.json").is_file()]
    return {str((run.summary or {}).get("seed", run.name)): run if arm is None else of_arm(run, arm) for run in runs}


def of_arm(run: Run, arm: str) -> Run:
    """The run with the answers of one arm only: its probe `needles_<arm>_8` becomes `needles, 8 frames`."""
    name = re.compile(rf"(?P<probe>.+)_{re.escape(arm)}_(?P<frames>\d+)(?:_(?P<answerer>[^_]+))?")
    probes = {name.fullmatch(probe): rows for probe, rows in run.probes.items()}
    kept = {
        f"{m['probe']}, {m['frames']} frames" + (f", {m['answerer']}" if m["answerer"] else ""): rows
        for m, rows in probes.items()
        if m is not None
    }
    return replace(run, probes=kept)


def _row(row: Standing, seeds: Mapping[str, float]) -> dict[str, object]:
    return {
        "row": row.group, "task": row.task, "score": row.name, "n": row.runs, "prompts": row.prompts,
        **_interval(row.value), "over": row.over, "seeds": dict(seeds),
        "difference": None if row.change is None else _interval(row.change), "difference_over": row.change_over,
    }  # fmt: skip


def _pair(pair: Pair) -> dict[str, object]:
    return {
        "higher": list(pair.higher), "lower": list(pair.lower), "published": list(pair.published), "n": pair.seeds,
        "difference": None if pair.change is None else _interval(pair.change), "verdict": pair.verdict,
    }  # fmt: skip


def _interval(found: Interval) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in found._asdict().items()}


def _machine(groups: Sequence[Group]) -> list[str]:
    """Versions and hardware of the first run, without paths of its machine."""
    run = next(run for group in groups for run in group.runs.values())
    return [re.sub(r" \(/\S*\)", "", line) for line in run.versions.splitlines() if "not installed" not in line]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
