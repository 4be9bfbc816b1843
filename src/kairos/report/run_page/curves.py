"""The curves of one run: reward, length and validation over iterations, and everything else in small."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kairos.report.style import AFTER, INK, MUTED, SERIES, legend, panel, title
from kairos.runs.series import Series

_APART = ("reward/", "reward_", "val/", "time/", "rollout/length", "throughput/")
_NOT_TERMS = ("reward/total", "reward/spread", "reward/no_spread")
_SCORES = ("miou", "recall_50", "accuracy", "parse_failures")
_LINE = {"miou": SERIES[0], "recall_50": SERIES[1], "accuracy": SERIES[2], "parse_failures": SERIES[4]}


def curves(metrics: Mapping[str, Series], floors: Mapping[str, float] | None = None) -> dict[str, Figure]:
    """Figures by name: "reward", "length", "validation", "rest", those of them that have something to show.

    `floors` may hold `miou_constant` and `chance`, drawn as dotted lines where validation did not log its own.
    """
    made = {
        "reward": _reward(metrics),
        "length": _lengths(metrics),
        "validation": _validation(metrics, floors or {}),
        "rest": _rest(metrics),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def draw(axis: Axes, series: Series, label: str, color: str) -> None:
    """One series: what was logged, faint, under its running mean."""
    axis.plot(series.at, series.values, color=color, alpha=0.25, linewidth=1)
    marker = "o" if len(series) == 1 else ""
    axis.plot(series.at, series.smooth(), color=color, linewidth=1.8, label=label, marker=marker)


def iterations(axis: Axes) -> None:
    axis.set_xlabel("iteration", fontsize=8, color=MUTED)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _reward(metrics: Mapping[str, Series]) -> Figure | None:
    terms = [name for name in metrics if name.startswith("reward/") and name not in _NOT_TERMS]
    if "reward/total" not in metrics and not terms:
        return None
    figure = Figure(figsize=(9.2, 3.1), layout="constrained")
    left, right = panel(figure, 1, 2)
    if "reward/total" in metrics:
        draw(left, metrics["reward/total"], "total", AFTER)
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


def _validation(metrics: Mapping[str, Series], floors: Mapping[str, float]) -> Figure | None:
    found = [name for name in _SCORES if f"val/{name}" in metrics]
    if not found:
        return None
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    (axis,) = panel(figure, 1, 1)
    for name in found:
        series = metrics[f"val/{name}"]
        axis.plot(
            series.at, series.values, color=_LINE[name], linewidth=1.8, marker="o", markersize=3.5, label=words(name)
        )
    for name, score, text in (("miou_constant", "miou", "best constant span"), ("chance", "accuracy", "chance")):
        logged = metrics.get(f"val/{name}")
        floor = logged.values[-1] if logged is not None else floors.get(name)
        if floor is not None and score in found:
            axis.axhline(floor, color=_LINE[score], linestyle=":", linewidth=1.2, label=text)
    axis.set_ylim(0, 1)
    title(axis, "Validation, greedy")
    legend(axis)
    iterations(axis)
    return figure


def _rest(metrics: Mapping[str, Series]) -> Figure | None:
    names = [name for name, series in metrics.items() if not name.startswith(_APART) and len(set(series.values)) > 1]
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


def words(name: str) -> str:
    """A metric's name as readers know it.

    >>> words("recall_50")
    'R1@0.5'
    """
    if name.startswith("recall_"):
        return f"R1@{int(name.removeprefix('recall_')) / 100:g}"
    return {"miou": "mIoU", "parse_failures": "parse failures"}.get(name, name.replace("_", " "))
