"""Several runs in one picture: the curves of a sweep's jobs and a small table of where they ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kairos.evaluation.bootstrap import Interval, interval
from kairos.report.curves import iterations, words
from kairos.report.run import Run, read_run
from kairos.report.style import INK, MUTED, SERIES, quiet, save, title

_PANELS = {"reward/total": "Reward, total", "val/miou": "Validation mIoU", "val/accuracy": "Validation accuracy"}
_LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Standing:
    """Where the runs of one configuration ended: `final` by metric, over their seeds and last tenth of iterations."""

    name: str
    runs: int
    final: dict[str, Interval]


def compare(runs: Sequence[Path], output: Path) -> Path:
    """Write the curves of `runs` to `output` (PNG), and the table below them also as Markdown beside it.

    Runs that differ in their seed only share a colour and a row. ValueError when no run has logged an iteration.
    """
    read = [run for run in (read_run(folder) for folder in runs) if run.iterations]
    if not read:
        raise ValueError(f"nothing to compare: none of {len(runs)} runs has logged an iteration yet")
    shown = [name for name in _PANELS if any(name in run.metrics for run in read)]
    if not shown:
        raise ValueError(f"nothing to compare: no run logs any of {', '.join(_PANELS)}")
    groups: dict[str, list[Run]] = {}
    for run in read:
        groups.setdefault(without_seed(run.name), []).append(run)
    found = [standing(name, members, shown) for name, members in groups.items()]
    figure = Figure(figsize=(4.8 * max(2, len(shown)), 3.4 + 0.24 * (len(found) + 2)), layout="constrained")
    grid = figure.add_gridspec(2, len(shown), height_ratios=(3.4, 0.24 * (len(found) + 2)))
    for column, metric in enumerate(shown):
        _curves(quiet(figure.add_subplot(grid[0, column])), metric, groups)
    _table(figure.add_subplot(grid[1, :]), found, shown)
    output.with_suffix(".md").write_text(markdown(found, shown), encoding="utf-8")
    return save(figure, output)


def standing(name: str, runs: Sequence[Run], metrics: Sequence[str]) -> Standing:
    """Means with bootstrap intervals over all values that the runs logged in the last tenth of their iterations."""
    final: dict[str, Interval] = {}
    for metric in metrics:
        values = [
            value for run in runs if metric in run.metrics for value in run.metrics[metric].last_tenth(run.iterations)
        ]
        if values:
            final[metric] = interval(values)
    return Standing(name, len(runs), final)


def markdown(found: Sequence[Standing], metrics: Sequence[str]) -> str:
    """The table as Markdown."""
    lines = [" | ".join(["", "run", "runs", *(_head(metric) for metric in metrics), ""]).strip()]
    lines.append("|" + "---|" * (2 + len(metrics)))
    lines += [
        " | ".join(["", row.name, str(row.runs), *(_cell(row.final.get(m)) for m in metrics), ""]).strip()
        for row in found
    ]
    return "\n".join(lines) + "\n\nMean and 95 % bootstrap interval over the last tenth of the iterations, all seeds.\n"


def without_seed(name: str) -> str:
    """A job's folder name without its seed.

    >>> without_seed("seed=1,shape=log_exp")
    'shape=log_exp'
    """
    return re.sub(r"(^|(?<=,))seed=[^,]*,?", "", name).strip(",") or "all seeds"


def _curves(axis: Axes, metric: str, groups: dict[str, list[Run]]) -> None:
    for color, runs in zip(_colors(len(groups)), groups.values(), strict=True):
        for style, run in zip(_LINES * len(runs), runs, strict=False):
            if metric in run.metrics:
                series = run.metrics[metric]
                axis.plot(series.at, series.smooth(), color=color, linestyle=style, linewidth=1.5)
    title(axis, _PANELS[metric])
    iterations(axis)


def _table(axis: Axes, found: Sequence[Standing], metrics: Sequence[str]) -> None:
    axis.set_axis_off()
    rows = [[row.name, str(row.runs), *(_cell(row.final.get(metric)) for metric in metrics)] for row in found]
    table = axis.table(
        rows, colLabels=["", "runs", *map(_head, metrics)], loc="upper center", cellLoc="left", edges="open"
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.auto_set_column_width(list(range(2 + len(metrics))))
    for (row, column), cell in table.get_celld().items():
        color = MUTED if row == 0 else INK
        if row > 0 and column == 0:
            color = _colors(len(found))[row - 1]
        cell.get_text().set_color(color)


def _colors(count: int) -> list[str]:
    return [SERIES[index % len(SERIES)] for index in range(count)]


def _head(metric: str) -> str:
    group, _, name = metric.partition("/")
    return f"{group} {words(name)}"


def _cell(found: Interval | None) -> str:
    return "–" if found is None else f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
