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

_LEARNING = {
    "reward/no_spread": "Groups without spread",
    "objective/kl": "KL to the reference",
    "policy/entropy": "Entropy",
    "policy/ratio_off_by_a_tenth": "Ratios off by a tenth",
    "time/iteration": "Seconds an iteration",
}
_DRAWN = 1e100  # matplotlib's axes overflow near the largest floats
_APART = ("reward/", "reward_", "val/", "time/", "rollout/length", "throughput/")


def curves(
    metrics: Mapping[str, Series],
    shown: Displays,
    floors: Mapping[str, tuple[float, str]] | None = None,
    ends: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> dict[str, Figure]:
    """Figures by name: "reward", "learning", "length", "validation" and "rest", without empty ones.

    `floors` (value and name by metric) are drawn as dotted lines for headline metrics, `ends` (values before and after
    training by metric, over all prompts) as rings.
    """
    made = {
        "reward": _reward(metrics),
        "length": _lengths(metrics),
        "learning": _learning(metrics),
        "validation": _validation(metrics, shown, floors or {}, ends or {}),
        "rest": _rest(metrics, shown),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def draw(axis: Axes, series: Series, label: str, color: str) -> None:
    """Draw one series: logged values in a faint colour, and their running mean. Values beyond 1e100 are left out."""
    at, values, smooth = (
        [line[i] for i, value in enumerate(series.values) if abs(value) < _DRAWN]
        for line in (series.at, series.values, series.smooth())
    )
    axis.plot(at, values, color=color, alpha=0.25, linewidth=1)
    axis.plot(at, smooth, color=color, linewidth=1.8, label=label, marker="o" if len(at) == 1 else "")


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


def _learning(metrics: Mapping[str, Series]) -> Figure | None:
    """Whether there was something to learn, how far the policy went, and what an iteration took."""
    names = [name for name in _LEARNING if name in metrics]
    if not names:
        return None
    columns = max(3, len(names))
    figure = Figure(figsize=(9.2, 2.1), layout="constrained")
    axes = panel(figure, 1, columns)
    for axis, name in zip(axes, names, strict=False):
        draw(axis, metrics[name], name, INK)
        axis.set_title(_LEARNING[name], loc="left", fontsize=8, color=INK)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        axis.set_ylim(bottom=min(0.0, *metrics[name].values))
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return figure


def _validation(
    metrics: Mapping[str, Series],
    shown: Displays,
    floors: Mapping[str, tuple[float, str]],
    ends: Mapping[str, tuple[float | None, float | None]],
) -> Figure | None:
    """The validation metrics in [0, 1] that are shown on the page, on one axis."""
    named = [name for name in shown.names("headline", "page") if shown[name].is_share]
    wanted = [name for name in named if f"val/{name}" in metrics or name in ends]
    colors = {name: SERIES[at % len(SERIES)] for at, name in enumerate(named) if name in wanted}
    if not colors:
        return None
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    (axis,) = panel(figure, 1, 1)
    last = max((series.at[-1] for series in metrics.values()), default=0)
    for name, color in colors.items():
        label = shown[name].label
        if f"val/{name}" in metrics:
            series = metrics[f"val/{name}"]
            axis.plot(series.at, series.values, color=color, linewidth=1.8, marker="o", markersize=3.5, label=label)
            label = "_"
        for at, value in zip((0, last), ends.get(name, ()), strict=False):
            if value is not None:
                axis.plot(
                    [at], [value], color=color, marker="o", markersize=6, fillstyle="none", linestyle="", label=label
                )
                label = "_"
    for name in (name for name in colors if name in floors and shown[name].shown == "headline"):
        height, called = floors[name]
        axis.axhline(height, color=colors[name], linestyle=":", linewidth=1.2, label=called)
    axis.set_ylim(0, 1)
    title(axis, "Validation, greedy (rings: all prompts)" if ends else "Validation, greedy")
    legend(axis)
    iterations(axis)
    return figure


def _rest(metrics: Mapping[str, Series], shown: Displays) -> Figure | None:
    """All changing metrics that are in no other figure, validation metrics outside [0, 1] included."""
    apart = [f"val/{name}" for name in shown if shown[name].on_page and not shown[name].is_share]
    names = [
        name
        for name, series in metrics.items()
        if (name in apart or not name.startswith(_APART)) and name not in _LEARNING and len(set(series.values)) > 1
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
