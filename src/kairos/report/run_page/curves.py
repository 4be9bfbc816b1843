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
    "no_spread": {"reward/no_spread": "Groups without spread"},
    "kl": {"policy/kl_start": "KL to the start", "objective/kl": "KL, as weighted in the loss"},
    "entropy": {"policy/entropy": "Entropy", "policy/surprise": "Entropy, of sampled actions"},
    "clip_fraction": {"policy/clip_fraction": "Clip fraction"},
    "ratios": {"policy/ratio_off_by_a_tenth": "Ratios off by a tenth"},
    "seconds": {"time/iteration": "Seconds an iteration"},
}
"""By figure: the metric and its heading; of several metrics the first that was logged is drawn."""
LEARNING = tuple(_LEARNING)
_DRAWN = 1e100  # matplotlib's axes overflow near the largest floats
_ADVANTAGE = {
    "reward/spread": "spread of rewards",
    "advantage/magnitude": "size of advantages",
    "advantage/gated": "gated groups",
    "advantage/sign_flips": "signs flipped by injected rows",
    "advantage/groups_without_positives": "groups without positives",
}
_PARSE, _FAILURES = "parse/", "parse/failures"
_APART = ("reward/", "reward_", "val/", "time/", "rollout/length", "throughput/", _PARSE, *_ADVANTAGE)


def curves(
    metrics: Mapping[str, Series],
    shown: Displays,
    floors: Mapping[str, tuple[float, str]] | None = None,
    ends: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> dict[str, Figure]:
    """Figures by name: "reward", "terms", those of `LEARNING`, "length", "parse", "advantage", "validation" and "rest",
    without empty ones.

    `floors` (value and name by metric) are drawn as dotted lines for headline metrics, `ends` (values before and after
    training by metric, over all prompts) as rings.
    """
    made = {
        "reward": _reward(metrics),
        "terms": _terms(metrics),
        **{name: _learning(metrics[metric], heading) for name, (metric, heading) in _learned(metrics).items()},
        "length": _lengths(metrics),
        "parse": _parse(metrics),
        "advantage": _several(metrics, _ADVANTAGE, "Rewards and advantages in a group"),
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
    if TOTAL_REWARD not in metrics:
        return None
    figure, axis = _half()
    draw(axis, metrics[TOTAL_REWARD], "total", AFTER)
    title(axis, "Reward, total")
    iterations(axis)
    return figure


def _terms(metrics: Mapping[str, Series]) -> Figure | None:
    terms = reward_terms(metrics)
    if not terms:
        return None
    figure, axis = _half()
    for color, name in zip(SERIES, terms, strict=False):
        draw(axis, metrics[name], name.removeprefix("reward/"), color)
    title(axis, "Reward by term, raw")
    legend(axis)
    iterations(axis)
    return figure


def _half() -> tuple[Figure, Axes]:
    """A figure of half the page's width, and its axes."""
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    (axis,) = panel(figure, 1, 1)
    return figure, axis


def _lengths(metrics: Mapping[str, Series]) -> Figure | None:
    named = {"rollout/length": "rollouts", "val/length": "validation, greedy"}
    return _several(metrics, named, "Answer length, actions")


def _parse(metrics: Mapping[str, Series]) -> Figure | None:
    """The share of rollouts that could not be read, by reason, the most frequent reasons first; None if all could."""
    reasons = [name for name in metrics if name.startswith(_PARSE) and name != _FAILURES and any(metrics[name].values)]
    reasons.sort(key=lambda name: -sum(metrics[name].values))
    named = {name: name.removeprefix(_PARSE).replace("_", " ") for name in reasons[: len(SERIES)]}
    return _several(metrics, named, "Answers that could not be read, share")


def _several(metrics: Mapping[str, Series], named: Mapping[str, str], heading: str) -> Figure | None:
    """One axis from 0 with a line for each of these metrics that was logged and is not 0 throughout."""
    found = {name: label for name, label in named.items() if name in metrics and any(metrics[name].values)}
    if not found:
        return None
    figure, axis = _half()
    for color, (name, label) in zip(SERIES, found.items(), strict=False):
        draw(axis, metrics[name], label, color)
    axis.set_ylim(bottom=0)
    title(axis, heading)
    legend(axis)
    iterations(axis)
    return figure


def _learning(series: Series, heading: str) -> Figure:
    """A third of the page's width, from 0: whether there was something to learn, how far the policy went, and so on."""
    figure = Figure(figsize=(3.1, 1.9), layout="constrained")
    (axis,) = panel(figure, 1, 1)
    draw(axis, series, heading, INK)
    axis.set_title(heading, loc="left", fontsize=9, color=INK)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axis.set_ylim(min(0.0, *series.values), None if max(series.values) > 0 else 1.0)
    return figure


def _learned(metrics: Mapping[str, Series]) -> dict[str, tuple[str, str]]:
    """By figure of `LEARNING`: the metric that can be drawn, and its heading."""
    found = {figure: next((name for name in names if name in metrics), None) for figure, names in _LEARNING.items()}
    return {figure: (name, _LEARNING[figure][name]) for figure, name in found.items() if name is not None}


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
    figure, axis = _half()
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
    drawn = {metric for metric, _ in _learned(metrics).values()}
    apart = [f"val/{name}" for name in shown if shown[name].on_page and not shown[name].is_share]
    names = [
        name
        for name, series in metrics.items()
        if (name in apart or not name.startswith(_APART)) and name not in drawn and len(set(series.values)) > 1
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
