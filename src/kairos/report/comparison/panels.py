"""Draws the curves of groups of runs, seeds as a band, one panel for each metric, for comparisons and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kairos.report.comparison.groups import Group
from kairos.report.run_page.curves import iterations
from kairos.report.style import INK, SERIES, panel, title
from kairos.runs.series import Series

_LINES = ("-", "--", ":", "-.")


def panels(groups: Sequence[Group], metrics: Mapping[str, str], columns: int = 3) -> Figure:
    """One panel for each metric (name -> heading): a colour for each group, its seeds as a band, running means.

    ValueError when no run has logged any of them.
    """
    shown = [name for name in metrics if any(name in run.metrics for group in groups for run in group.runs.values())]
    if not shown:
        raise ValueError(f"nothing to draw: no run logs any of {', '.join(metrics)}")
    rows, columns = -(-len(shown) // columns), min(columns, len(shown))
    figure = Figure(figsize=(3.6 * max(2, columns), 2.8 * rows + 0.5), layout="constrained")
    axes = panel(figure, rows, columns)
    for axis, metric in zip(axes, shown, strict=False):
        draw_groups(axis, metric, metrics[metric], groups)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    named = [
        Line2D([], [], color=color, label=group.name) for color, group in zip(colors(len(groups)), groups, strict=True)
    ]
    figure.legend(handles=named, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def draw_groups(axis: Axes, metric: str, heading: str, groups: Sequence[Group]) -> None:
    """Draw one metric of every run that logged it: several seeds as their mean, in a band from lowest to highest.

    Seeds that have no iteration in common are drawn each for itself.
    """
    for color, group in zip(colors(len(groups)), groups, strict=True):
        seeds = [run.metrics[metric] for run in group.runs.values() if metric in run.metrics]
        at, values = shared(seeds)
        if len(seeds) > 1 and at:
            axis.fill_between(at, values.min(0), values.max(0), color=color, alpha=0.18, linewidth=0)
            axis.plot(at, values.mean(0), color=color, linewidth=1.6, marker="o" if len(at) == 1 else "")
            continue
        for style, series in zip(_LINES * len(seeds), seeds, strict=False):
            marker = "o" if len(series) == 1 else ""
            axis.plot(series.at, series.smooth(), color=color, linestyle=style, linewidth=1.5, marker=marker)
    low, high = axis.dataLim.intervaly
    if low == high == 0.0:  # else 0 stands in the middle of the axis
        axis.set_ylim(-0.02, 1.0)
    title(axis, heading)
    iterations(axis)


def shared(seeds: Sequence[Series]) -> tuple[list[int], np.ndarray]:
    """The iterations that every series has, and their running means there: [seeds, iterations].

    >>> shared([Series((1, 2), (0.0, 1.0)), Series((2, 3), (5.0, 6.0))])
    ([2], array([[1.],
           [5.]]))
    """
    common = set(seeds[0].at).intersection(*(each.at for each in seeds)) if seeds else set[int]()
    at = sorted(common)
    rows = [dict(zip(each.at, each.smooth(), strict=True)) for each in seeds]
    return at, np.array([[row[iteration] for iteration in at] for row in rows])


def colors(count: int) -> list[str]:
    """Colours for `count` groups."""
    return [SERIES[index % len(SERIES)] for index in range(count)]
