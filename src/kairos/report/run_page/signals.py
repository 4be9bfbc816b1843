"""Draws which groups taught something over the iterations, and why the others did not."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kairos.report.browser.chosen_rows import Fields
from kairos.report.browser.signal import ALL_RIGHT, ALL_SAME, ALL_WRONG, DIFFER, SIGNALS, signal
from kairos.report.run_page.curves import iterations
from kairos.report.style import AFTER, BEFORE, legend, panel, title

_COLORS = {DIFFER: AFTER, ALL_SAME: BEFORE, ALL_RIGHT: "#7fb89a", ALL_WRONG: "#d08b86"}
_BARS = 40


def signals(groups: Sequence[Sequence[Fields]]) -> Figure | None:
    """Shares of each kind of group, a bar for each iteration or each few; None without sampled groups.

    `groups`: rows of rollouts.jsonl.
    """
    found = [
        (at, kind) for rows in groups if isinstance(at := rows[0].get("iteration"), int) and (kind := signal(rows))
    ]
    if not found:
        return None
    first, last = min(at for at, _ in found), max(at for at, _ in found)
    width = -(-(last - first + 1) // _BARS)
    bins: dict[int, list[str]] = {}
    for at, kind in found:
        bins.setdefault((at - first) // width, []).append(kind)
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    (axis,) = panel(figure, 1, 1)
    middles = [first + width * place + (width - 1) / 2 for place in bins]
    below = [0.0] * len(bins)
    for kind in SIGNALS:
        shares = [kinds.count(kind) / len(kinds) for kinds in bins.values()]
        if any(shares):
            axis.bar(middles, shares, 0.9 * width, bottom=below, color=_COLORS[kind], label=kind, linewidth=0)
        below = [low + share for low, share in zip(below, shares, strict=True)]
    axis.set_ylim(0, 1)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    title(axis, "Groups: do their rewards differ, and if not, why")
    legend(axis)
    iterations(axis)
    return figure
