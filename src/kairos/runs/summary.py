"""Computes and writes summary.json: the scores of a run in one row. The file marks the run as finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from kairos.core.seals import write_state
from kairos.evaluation.predictions import read_file
from kairos.evaluation.score_table import overall
from kairos.runs.displays import read_displays
from kairos.runs.read import probe_predictions


def summary_of(run: Path, seed: int, iterations: int) -> dict[str, object]:
    """Scores of predictions/before.jsonl and after.jsonl side by side, with the floors.

    "probes" holds each probe's scores over all its tasks, with those from before training under "before" if there are
    any (the further wordings of a template schedule).
    """
    row: dict[str, object] = {}
    shown = [name for name, display in read_displays(run).by_name.items() if display.in_tables]
    for when in ("before", "after"):
        path = run / "predictions" / f"{when}.jsonl"
        if path.exists():
            found = overall(read_file(path))
            row |= {f"{name}_{when}": found[name] for name in shown if name in found}
            row |= {name: found[name] for name in ("miou_constant", "chance") if name in found}
            row["n_val"] = found["n"]
    probes = {path.parent.name: _probe(path, shown) for path in probe_predictions(run)}
    return row | ({"probes": probes} if probes else {}) | {"iterations": iterations, "seed": seed}


def _probe(after: Path, shown: Sequence[str]) -> dict[str, object]:
    found, before = overall(read_file(after)), after.with_name("before.jsonl")
    scores: dict[str, object] = {name: found[name] for name in (*shown, "n") if name in found}
    return scores | ({"before": _probe(before, shown)} if before != after and before.exists() else {})


def write_summary(run: Path, row: Mapping[str, object], seconds: float) -> dict[str, object]:
    """Write the row with the seconds of all sessions, report included. Call it last: it marks the run as finished."""
    whole = {**row, "seconds": round(seconds, 1)}
    write_state(run / "summary.json", json.dumps(whole, indent=2) + "\n")
    return whole
