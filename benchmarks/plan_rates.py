"""Fits the rates of `kairos plan` to what results/ measured, and says how far its predictions are off.

    python benchmarks/plan_rates.py            # no GPU: writes the rates, results/plan.json and results/plan.md

A rate is the seconds that one unit of work takes; non-negative least squares on ratios of predicted to measured seconds
find all of them together. `held out` predicts a line from rates that were fitted without any cell of that line; it is
empty where the line is the only one that shows a rate. Lines "iteration" are sums, and no rate is fitted to them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measuring import store
from plan_cells import Measured, cells
from scipy.optimize import nnls

from kairos.policy.speed.amounts import H200, KINDS, Amounts

RESULTS = Path(__file__).resolve().parents[1] / "results"
PHASES = ("update", "optimiser", "sync", "roll-out", "references", "learning", "iteration")


def fit(chosen: Sequence[Measured]) -> Amounts:
    """Seconds a unit for each kind of work; 0 for kinds that no cell shows."""
    table = np.array([[getattr(cell.amounts, kind) / cell.seconds for kind in KINDS] for cell in chosen])
    scale = table.max(axis=0)
    scale[scale == 0] = 1.0
    found, _ = nnls(table / scale, np.ones(len(chosen)))
    return Amounts(**{kind: float(f"{value:.4g}") for kind, value in zip(KINDS, found / scale, strict=True)})


def compared(measured: Sequence[Measured]) -> list[dict[str, object]]:
    """Each cell with its predicted seconds and their ratio to the measured ones, fitted with and without its line."""
    fitted = [cell for cell in measured if cell.fitted]
    rates, lines = fit(fitted), []
    for cell in measured:
        others = fit([other for other in fitted if (other.file, other.name) != (cell.file, cell.name)])
        known = all(
            getattr(others, kind) or not getattr(cell.amounts, kind) or not getattr(rates, kind) for kind in KINDS
        )
        predicted = cell.amounts.seconds(rates)
        lines.append(
            {
                "file": cell.file, "name": cell.name, "phase": cell.phase, "measured": round(cell.seconds, 4),
                "predicted": round(predicted, 4), "ratio": round(predicted / cell.seconds, 2),
                "held_out": round(cell.amounts.seconds(others) / cell.seconds, 2) if known else None,
            }
        )  # fmt: skip
    return lines


def summary(lines: Sequence[dict[str, object]]) -> list[str]:
    """A markdown table: the ratios of each phase, smallest, middle and largest."""
    rows = ["| phase | cells | predicted / measured | held out |", "|---|---|---|---|"]
    for phase in PHASES:
        of_phase = [line for line in lines if line["phase"] == phase]
        rows.append(f"| {phase} | {len(of_phase)} | {_span(of_phase, 'ratio')} | {_span(of_phase, 'held_out')} |")
    return rows


def _span(lines: Sequence[dict[str, object]], key: str) -> str:
    values = sorted(value for line in lines if isinstance(value := line[key], float))
    return f"{values[0]:.2f} to {values[-1]:.2f}, middle {values[len(values) // 2]:.2f}" if values else ""


def every_cell(lines: Sequence[dict[str, object]]) -> list[str]:
    """A markdown table of all cells."""
    rows = ["| file | what | phase | measured, s | predicted, s | ratio | held out |", "|---|---|---|---|---|---|---|"]
    for line in lines:
        held_out = "" if line["held_out"] is None else f"{line['held_out']:.2f}"
        rows.append(
            f"| {line['file']} | {line['name']} | {line['phase']} | {line['measured']:.3f} | {line['predicted']:.3f} | "
            f"{line['ratio']:.2f} | {held_out} |"
        )
    return rows


def page(lines: Sequence[dict[str, object]]) -> str:
    title = ["# Predicted against measured", "", "Written by `python benchmarks/plan_rates.py`; H200s."]
    return "\n".join([*title, "", *summary(lines), "", *every_cell(lines), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, default=H200)
    parser.add_argument("--out", type=Path, default=RESULTS / "plan.json")
    options = parser.parse_args()
    measured = cells()
    rates = fit([cell for cell in measured if cell.fitted])
    text = json.dumps({"seconds_a_unit": {kind: getattr(rates, kind) for kind in KINDS}}, indent=1)
    options.rates.write_text(text + "\n", encoding="utf-8")
    lines = compared(measured)
    store(options.out, {"cells": lines})
    options.out.with_suffix(".md").write_text(page(lines), encoding="utf-8")
    print("\n".join(summary(lines)))


if __name__ == "__main__":
    main()
