"""summary.json: a run in one row, and the sign that it is finished."""

from __future__ import annotations

import json
from pathlib import Path

from kairos.evaluation.predictions import read_file
from kairos.evaluation.summary import summarise

SCORES = ("miou", "recall_30", "recall_50", "recall_70", "accuracy", "parse_failures", "length")


def write_summary(run: Path, seconds: float, seed: int, iterations: int) -> dict[str, object]:
    """Scores of predictions/before.jsonl and after.jsonl side by side, with the floors; `seconds` of the whole run."""
    row: dict[str, object] = {}
    for when in ("before", "after"):
        path = run / "predictions" / f"{when}.jsonl"
        if path.exists():
            summary = summarise(read_file(path))
            row |= {f"{name}_{when}": summary[name] for name in SCORES if name in summary}
            row |= {name: summary[name] for name in ("miou_constant", "chance") if name in summary}
            row["n_val"] = summary["n"]
    row |= {"iterations": iterations, "seconds": round(seconds, 1), "seed": seed}
    unfinished = run / ".summary.unfinished"
    unfinished.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(run / "summary.json")
    return row
