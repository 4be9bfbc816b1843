"""summary.json: a run in one row, and the sign that it is finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from kairos.evaluation.predictions import read_file
from kairos.evaluation.summary import summarise
from kairos.runs.files import write_whole
from kairos.runs.read import probe_predictions

SCORES = ("miou", "recall_30", "recall_50", "recall_70", "accuracy", "parse_failures", "length")


def summary_of(run: Path, seed: int, iterations: int) -> dict[str, object]:
    """Scores of predictions/before.jsonl and after.jsonl side by side, with the floors; below "probes" each
    probe's, over all its tasks, and "before" those from before where there are any: so come the further wordings of a
    template schedule."""
    row: dict[str, object] = {}
    for when in ("before", "after"):
        path = run / "predictions" / f"{when}.jsonl"
        if path.exists():
            summary = summarise(read_file(path))
            row |= {f"{name}_{when}": summary[name] for name in SCORES if name in summary}
            row |= {name: summary[name] for name in ("miou_constant", "chance") if name in summary}
            row["n_val"] = summary["n"]
    probes = {path.parent.name: _probe(path) for path in probe_predictions(run)}
    return row | ({"probes": probes} if probes else {}) | {"iterations": iterations, "seed": seed}


def _probe(after: Path) -> dict[str, object]:
    summary, before = summarise(read_file(after)), after.with_name("before.jsonl")
    scores = {name: summary[name] for name in (*SCORES, "n") if name in summary}
    return scores | ({"before": _probe(before)} if before != after and before.exists() else {})


def write_summary(run: Path, row: Mapping[str, object], seconds: float) -> dict[str, object]:
    """Write the row with the seconds of the whole run, every session and its report included. Last of all."""
    whole = {**row, "seconds": round(seconds, 1)}
    write_whole(run / "summary.json", json.dumps(whole, indent=2) + "\n")
    return whole
