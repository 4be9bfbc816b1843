"""Draws how the prompts' rewards are distributed before and after a selection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kairos.curriculum.rewards import TOTAL, PromptRewards
from kairos.report.style import AFTER, BEFORE, MUTED, legend, panel, save, title

_BINS = 24


def histogram(before: Sequence[PromptRewards], after: Sequence[PromptRewards], path: Path) -> Path:
    """Write a PNG of two panels: mean and standard deviation of each prompt's K rewards. `before` holds all prompts."""
    figure = Figure(figsize=(9.2, 3.1), layout="constrained")
    left, right = panel(figure, 1, 2)
    _pair(left, "Mean reward of a prompt", [[row.mean([TOTAL]) for row in rows] for rows in (before, after)])
    _pair(right, "Spread of a prompt's rewards", [[row.spread([TOTAL]) for row in rows] for rows in (before, after)])
    return save(figure, path)


def _pair(axis: Axes, name: str, values: Sequence[Sequence[float]]) -> None:
    low, high = min(values[0]), max(values[0])
    edges = [low + (high - low or 1.0) * step / _BINS for step in range(_BINS + 1)]
    for part, color, label in zip(values, (BEFORE, AFTER), ("all", "selected"), strict=True):
        axis.hist(part, bins=edges, color=color, label=f"{label}: {len(part)}, mean {fmean(part):.3f}")
    axis.set_xlabel(name.lower(), fontsize=8, color=MUTED)
    axis.set_ylabel("prompts", fontsize=8, color=MUTED)
    title(axis, name)
    legend(axis)
