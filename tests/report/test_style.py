"""What every picture's axes and legends look like."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kairos.report import style


def drawn() -> Figure:
    """Two lines over wide ranges."""
    figure = Figure()
    FigureCanvasAgg(figure)
    (axis,) = style.panel(figure, 1, 1)
    for factor in (1, 10):
        axis.plot([50, 200, 1000], [0.3 * factor, 0.4 * factor, 1.5 * factor], label=str(factor))
    style.log_scale(axis, [50, 200, 1000])
    style.legend_outside(axis)
    figure.canvas.draw()
    return figure


def test_logarithmic_axes_carry_plain_numbers() -> None:
    (axis,) = drawn().axes
    low, high = axis.get_ylim()
    shown = [tick.get_text() for tick in axis.get_yticklabels() if low <= tick.get_position()[1] <= high]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["50", "200", "1,000"]
    assert shown == ["0.5", "1", "2", "5", "10"]
    assert not axis.get_xticklabels(minor=True) and not axis.get_yticklabels(minor=True)


def test_a_legend_outside_covers_no_part_of_the_axes() -> None:
    (axis,) = drawn().axes
    legend = axis.get_legend()
    assert legend is not None and not legend.get_window_extent().overlaps(axis.get_window_extent())
