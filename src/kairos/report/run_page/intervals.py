"""Draws the scores before and after training as points with intervals, and floors as ticks."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from kairos.report.html import encodable
from kairos.report.run_page.before_after import Line
from kairos.report.style import AFTER, BEFORE, INK, MUTED, panel, title


def intervals(lines: Sequence[Line]) -> Figure | None:
    """One row per score in [0, 1]; None if there is none."""
    shown = [line for line in lines if line.display.is_share]
    if not shown:
        return None
    figure = Figure(figsize=(9.2, 0.9 + 0.34 * len(shown)), layout="constrained")
    (axis,) = panel(figure, 1, 1)
    labelled: set[str] = set()
    for row, line in enumerate(shown):
        for name, found, color, shift in (("before", line.before, BEFORE, -0.14), ("after", line.after, AFTER, 0.14)):
            if found is not None:
                axis.plot((found.low, found.high), (row + shift,) * 2, color=color, linewidth=2, solid_capstyle="butt")
                label = "_" if name in labelled else name
                axis.plot(found.mean, row + shift, "o", color=color, markersize=5, label=label)
                labelled.add(name)
        if line.floor is not None:
            label = "_" if "floor" in labelled else "best constant span, or chance"
            axis.plot(line.floor, row, "|", color=INK, markersize=13, markeredgewidth=1.4, label=label)
            labelled.add("floor")
    many = len({line.task for line in shown}) > 1
    names = [f"{line.task.replace('_', ' ')}  {line.display.label}" if many else line.display.label for line in shown]
    axis.set_yticks(range(len(shown)), list(map(encodable, names)), fontsize=8, color=INK)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_xlim(-0.012, 1.012)
    axis.grid(axis="x", color="#eef0f3", linewidth=0.6)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("bars: 95 % bootstrap intervals over prompts", fontsize=8, color=MUTED)
    title(axis, "Before and after")
    axis.legend(frameon=False, fontsize=8, labelcolor=INK, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return figure
