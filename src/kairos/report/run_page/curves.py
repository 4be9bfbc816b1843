"""Draws the curves of one run: reward, length, validation, and small panels of all other metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kairos.evaluation.display import Displays
from kairos.report.style import AFTER, INK, MUTED, SERIES, legend, panel, title
from kairos.runs.series import TOTAL_REWARD, Series, reward_terms

_APART = ("reward/", "reward_", "val/", "time/", "rollout/length", "throughput/")


def curves(
    metrics: Mapping[str, Series], shown: Displays, floors: Mapping[str, tuple[float, str]] | None = None
) -> dict[str, Figure]:
    """Figures by name: "reward", "length", "validation" and "rest", without empty ones.

    `floors` (value and name by metric) are drawn as dotted lines for headline metrics.
    """
    made = {
        "reward": _reward(metrics),
        "length": _lengths(metrics),
        "validation": _validation(metrics, shown, floors or {}),
        "rest": _rest(metrics, shown),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def draw(axis: Axes, series: Series, label: str, color: str) -> None:
    """Draw one series: logged values in a faint colour, and their running mean."""
    axis.plot(series.at, series.values, color=color, alpha=0.25, linewidth=1)
    marker = "o" if len(series) == 1 else ""
    axis.plot(series.at, series.smooth(), color=color, linewidth=1.8, label=label, marker=marker)


def iterations(axis: Axes) -> None:
    axis.set_xlabel("iteration", fontsize=8, color=MUTED)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _reward(metrics: Mapping[str, Series]) -> Figure | None:
    terms = reward_terms(metrics)
    if TOTAL_REWARD not in metrics and not terms:
        return None
    figure = Figure(figsize=(9.2, 3.1), layout="constrained")
    left, right = panel(figure, 1, 2)
    if TOTAL_REWARD in metrics:
        draw(left, metrics[TOTAL_REWARD], "total", AFTER)
    title(left, "Reward, total")
    for color, name in zip(SERIES, terms, strict=False):
        draw(right, metrics[name], name.removeprefix("reward/"), color)
    title(right, "Reward by term, raw")
    if terms:
        legend(right)
    for axis in (left, right):
        iterations(axis)
    return figure


def _lengths(metrics: Mapping[str, Series]) -> Figure | None:
    named = {"rollout/length": ("rollouts", AFTER), "val/length": ("validation, greedy", SERIES[1])}
    found = {name: drawn for name, drawn in named.items() if name in metrics}
    if not found:
        return None
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    (axis,) = panel(figure, 1, 1)
    for name, (label, color) in found.items():
        draw(axis, metrics[name], label, color)
    axis.set_ylim(bottom=0)
    title(axis, "Answer length, actions")
    legend(axis)
    iterations(axis)
    return figure


def _validation(
    metrics: Mapping[str, Series], shown: Displays, floors: Mapping[str, tuple[float, str]]
) -> Figure | None:
    """The validation metrics in [0, 1] that are shown on the page, on one axis."""
    named = [name for name in shown.names("headline", "page") if shown[name].is_share]
    colors = {name: SERIES[at % len(SERIES)] for at, name in enumerate(named) if f"val/{name}" in metrics}
    if not colors:
        return None
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    (axis,) = panel(figure, 1, 1)
    for name, color in colors.items():
        at, values = metrics[f"val/{name}"].at, metrics[f"val/{name}"].values
        axis.plot(at, values, color=color, linewidth=1.8, marker="o", markersize=3.5, label=shown[name].label)
    for name in (name for name in colors if name in floors and shown[name].shown == "headline"):
        height, called = floors[name]
        axis.axhline(height, color=colors[name], linestyle=":", linewidth=1.2, label=called)
    axis.set_ylim(0, 1)
    title(axis, "Validation, greedy")
    legend(axis)
    iterations(axis)
    return figure


def _rest(metrics: Mapping[str, Series], shown: Displays) -> Figure | None:
    """All changing metrics that are in no other figure, validation metrics outside [0, 1] included."""
    apart = [f"val/{name}" for name in shown if shown[name].on_page and not shown[name].is_share]
    names = [
        name
        for name, series in metrics.items()
        if (name in apart or not name.startswith(_APART)) and len(set(series.values)) > 1
    ]
    if not names:
        return None
    columns = 4
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(9.2, 1.7 * rows), layout="constrained")
    axes = panel(figure, rows, columns)
    for axis, name in zip(axes, names, strict=False):
        draw(axis, metrics[name], name, INK)
        axis.set_title(name, loc="left", fontsize=8, color=INK)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return figure
