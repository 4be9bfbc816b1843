"""Draws what a selector went by: the numbers of the prompts that it kept and of those that it dropped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kairos.curriculum.measures import Measure
from kairos.report.style import AFTER, BEFORE, INK, MUTED, panel, save

_BINS = 24


def histogram(uids: Sequence[str], kept: Collection[str], measures: Sequence[Measure], path: Path) -> Path:
    """Write a PNG with a panel for each measure of the prompts `uids`; dotted lines are the rule's bounds."""
    figure = Figure(figsize=(max(4.6, 3.6 * len(measures)), 3.4), layout="constrained")
    for axis, measure in zip(panel(figure, 1, len(measures)), measures, strict=True):
        _draw(axis, uids, set(kept), measure)
    return save(figure, path)


def _draw(axis: Axes, uids: Sequence[str], kept: set[str], measure: Measure) -> None:
    known = [(uid, value) for uid, value in zip(uids, measure.values, strict=True) if value is not None]
    sides = [[value for uid, value in known if (uid in kept) is wanted] for wanted in (True, False)]
    values = [value for _, value in known] or [0.0]
    low, high = min(*values, *measure.bounds, values[0]), max(*values, *measure.bounds, values[0])
    edges = [low + (high - low or 1.0) * step / _BINS for step in range(_BINS + 1)]
    names = [f"{name}: {len(side)} prompts" for name, side in zip(("kept", "dropped"), sides, strict=True)]
    axis.hist(sides, bins=edges, stacked=True, color=[AFTER, BEFORE], label=names)
    for number, bound in enumerate(dict.fromkeys(measure.bounds)):
        label = f"bounds: {', '.join(f'{each:g}' for each in measure.bounds)}" if number == 0 else None
        axis.axvline(bound, color=INK, linestyle=":", linewidth=1.2, label=label)
    axis.set_title(measure.label[:1].upper() + measure.label[1:], loc="left", fontsize=9, color=INK, pad=8)
    axis.set_ylabel("prompts", fontsize=8, color=MUTED)
    axis.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left", bbox_to_anchor=(-0.02, -0.1))
