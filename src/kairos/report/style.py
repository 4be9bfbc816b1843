"""The common style of all figures: palette, axes, legends, and saving without a display or global state."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from kairos.core.files import write_whole
from kairos.report.html import encodable

INK, MUTED, RULE = "#1f2933", "#6b7785", "#dfe3e8"
BEFORE, AFTER, TRUTH = "#a3adb8", "#1f6fb2", "#2f7d5b"
SERIES = ("#1f6fb2", "#c8702a", "#2f7d5b", "#8a5aa3", "#b0413e", "#5b7083", "#b59a2b", "#4aa3a2")


def panel(figure: Figure, rows: int, columns: int) -> list[Axes]:
    """The axes of a grid in reading order, each styled."""
    axes = figure.subplots(rows, columns, squeeze=False)
    return [quiet(axis) for row in axes for axis in row]


def quiet(axis: Axes) -> Axes:
    """Style an axis: thin grey left and bottom lines, no others."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(RULE)
    axis.tick_params(colors=MUTED, labelsize=8, length=0)
    axis.grid(axis="y", color=RULE, linewidth=0.6)
    axis.set_axisbelow(True)
    return axis


def title(axis: Axes, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=10, color=INK, pad=8)


def legend(axis: Axes) -> None:
    """Put the legend below the axes, where it covers no line."""
    axis.legend(
        frameon=False, fontsize=8, labelcolor=INK, handlelength=1.4, ncols=3, columnspacing=1.2,
        loc="upper left", bbox_to_anchor=(-0.02, -0.17),
    )  # fmt: skip


def legend_outside(axis: Axes) -> None:
    """Put the legend right of the axes, where it covers no line."""
    axis.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.01, 1.0))


def log_scale(axis: Axes, x: Sequence[float] = ()) -> None:
    """Make both scales logarithmic with plain tick labels: at `x` if given, else at 1, 2 and 5 times powers of ten."""
    axis.set(xscale="log", yscale="log")
    for scale, ticks in ((axis.xaxis, x), (axis.yaxis, ())):
        scale.set_major_locator(FixedLocator(ticks) if len(ticks) else LogLocator(subs=(1.0, 2.0, 5.0)))
        scale.set_minor_locator(NullLocator())
        scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG at 150 dpi; equal figures give equal bytes. Texts are shown as written, "$" included."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text(encodable(text.get_text()))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor="white", bbox_inches="tight", metadata={"Software": None})
    return write_whole(path, buffer.getvalue())


def data_uri(path: Path) -> str:
    """A picture file as a data URI, to embed in an HTML page."""
    kind = "jpeg" if path.suffix in {".jpg", ".jpeg"} else "png"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
