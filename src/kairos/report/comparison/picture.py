"""Draws several runs into one picture: their curves and a small table of final values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kairos.evaluation.display import Displays
from kairos.report.comparison.groups import Group, grouped
from kairos.report.comparison.panels import colors, draw_groups
from kairos.report.comparison.standings import displays_of, logged
from kairos.report.style import INK, MUTED, quiet, save
from kairos.runs.read import Run


def compare(runs: Sequence[Run], output: Path) -> Path:
    """Write the curves of `runs` to `output` (PNG). Runs that differ only in their seed share a colour and a row.

    ValueError when no run has logged an iteration.
    """
    read = [run for run in runs if run.iterations]
    if not read:
        raise ValueError(f"nothing to compare: none of {len(runs)} runs has logged an iteration yet")
    groups = grouped(read)
    displays = displays_of(groups)
    wanted = logged(displays, groups)
    shown = [name for name in wanted if any(name in run.metrics for run in read)]
    if not shown:
        raise ValueError(f"nothing to compare: no run logs any of {', '.join(wanted)}")
    lines = 0.24 * (len(groups) + 2)
    figure = Figure(figsize=(4.8 * max(2, len(shown)), 3.4 + lines), layout="constrained")
    grid = figure.add_gridspec(2, len(shown), height_ratios=(3.4, lines))
    for at, metric in enumerate(shown):
        draw_groups(quiet(figure.add_subplot(grid[0, at])), metric, _title(metric, displays), groups)
    _table(figure.add_subplot(grid[1, :]), groups, {name: displays.heading(name) for name in shown})
    return save(figure, output)


def _title(metric: str, displays: Displays) -> str:
    place, _, name = metric.partition("/")
    label = displays[name].label
    return f"Validation {label}" if place == "val" else f"{place.capitalize()}, {label}"


def _table(axis: Axes, groups: Sequence[Group], metrics: Mapping[str, str]) -> None:
    """Each group's mean over its runs at the end, over the last tenth of the iterations."""
    axis.set_axis_off()
    rows = [[group.name, str(len(group.runs)), *(_ended(group, metric) for metric in metrics)] for group in groups]
    table = axis.table(
        rows, colLabels=["", "runs", *metrics.values()], loc="upper center", cellLoc="left", edges="open"
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.auto_set_column_width(list(range(2 + len(metrics))))
    for (row, place), cell in table.get_celld().items():
        color = colors(len(groups))[row - 1] if row > 0 and place == 0 else MUTED if row == 0 else INK
        cell.get_text().set_color(color)


def _ended(group: Group, metric: str) -> str:
    runs = [run for run in group.runs.values() if metric in run.metrics]
    return f"{fmean(fmean(run.metrics[metric].last_tenth(run.iterations)) for run in runs):.3f}" if runs else "–"
