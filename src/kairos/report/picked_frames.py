"""Draws which frames of one video were picked for a question: the scores over time, the frames, and the answer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kairos.report.style import AFTER, INK, MUTED, RULE, quiet, save

_COLUMNS = 8
_WIDTH = 11.0  # inches
_LINE = 0.27  # inches of a line of text
_GAP = 0.42  # inches below the curve


@dataclass(frozen=True)
class Picked:
    """The picked frames of one video."""

    question: str
    duration: float
    """Seconds of the clip."""
    seconds_T: Sequence[float]
    """Times of all candidate frames."""
    scores_T: Sequence[float] | None
    """Their scores; None where the sampler has none."""
    index_K: Sequence[int]
    """The picked candidates, in the order of time."""
    frames_KHWC: np.ndarray
    """Their pixels, uint8."""
    options: Sequence[str] = ()
    """Texts of the options, without letters."""
    answer: str | None = None
    """What the answerer wrote; None without an answerer."""
    letter: str | None = None
    """The option that it chose."""
    probabilities: Sequence[float] = ()
    """Of the options, where the answerer says them."""
    by: str = ""
    """Name of the sampler that picked them."""
    agent: str | None = None
    """The trained agent that gave the scores."""


def draw_picked(picked: Picked, path: Path) -> Path:
    """Write the picture as PNG: the score curve with the picks marked, each picked frame with its time, the answer."""
    lines = textwrap.wrap(" ".join(picked.question.split()), 96) or [""]
    says = _answer_lines(picked)
    columns = min(_COLUMNS, len(picked.index_K))
    rows = -(-len(picked.index_K) // columns)
    height, width = picked.frames_KHWC.shape[1:3]
    cell = (_WIDTH - 0.6) / columns if columns == _COLUMNS else min((_WIDTH - 0.6) / columns, 1.9)
    tall = cell * height / width + _LINE
    head, curve = 0.35 + _LINE * (len(lines) + 1), 0.6 if picked.scores_T is None else 1.9
    foot = _LINE * len(says) + (0.2 if says else 0.1)
    total = head + curve + _GAP + rows * tall + foot
    figure = Figure(figsize=(_WIDTH, total))
    _text(figure, total - 0.28, lines, 13, INK, "bold")
    _text(figure, total - 0.28 - _LINE * len(lines), [_caption(picked)], 9, MUTED)
    axis = figure.add_axes((0.45 / _WIDTH, (total - head - curve) / total, 1 - 0.75 / _WIDTH, curve / total))
    _draw_scores(quiet(axis), picked)
    for place, index in enumerate(picked.index_K):
        row, column = divmod(place, columns)
        left = 0.3 + column * cell
        bottom = total - head - curve - _GAP - (row + 1) * tall + _LINE
        box = ((left + 0.03) / _WIDTH, bottom / total, (cell - 0.06) / _WIDTH, (tall - _LINE) / total)
        _draw_frame(figure.add_axes(box), picked.frames_KHWC[place], clock(picked.seconds_T[index], picked.duration))
    for number, (text, chosen) in enumerate(says):
        color, weight = (AFTER, "bold") if chosen else (INK, "normal")
        _text(figure, foot - 0.25 - _LINE * number, [text], 10, color, weight)
    return save(figure, path)


def clock(second: float, duration: float) -> str:
    """A time as it is written under a frame: seconds in a short clip, minutes and hours in longer ones.

    >>> clock(7.25, 30.0), clock(10.0, 30.0), clock(67.25, 300.0), clock(3667.0, 4000.0)
    ('7.25 s', '10 s', '1:07', '1:01:07')
    """
    if duration < 120:
        return f"{round(second, 2):g} s"
    minutes, seconds = divmod(int(second), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _caption(picked: Picked) -> str:
    shown = f"{len(picked.index_K)} of {len(picked.seconds_T)} frames of {clock(picked.duration, picked.duration)}"
    by = f", picked by {picked.by}" if picked.by else ""
    return shown + by + (f" from the scores of {picked.agent}" if picked.agent else "")


def _answer_lines(picked: Picked) -> list[tuple[str, bool]]:
    """The options, each with whether it was chosen, and what was written."""
    lines = []
    for number, option in enumerate(picked.options):
        letter = chr(ord("A") + number)
        share = f"   {picked.probabilities[number]:.0%}" if len(picked.probabilities) else ""
        lines.append((textwrap.shorten(f"{letter}  {option}", 110, placeholder=" …") + share, letter == picked.letter))
    if picked.answer is not None and not picked.probabilities:
        lines.append((textwrap.shorten(f"Answer: {picked.answer}", 120, placeholder=" …"), picked.letter is None))
    return lines


def _text(figure: Figure, top: float, lines: Sequence[str], size: float, color: str, weight: str = "normal") -> None:
    height = figure.get_size_inches()[1]
    for number, line in enumerate(lines):
        figure.text(
            0.33 / _WIDTH, (top - _LINE * number) / height, line, fontsize=size, color=color,
            weight=weight, va="center",
        )  # fmt: skip


def _draw_scores(axis: Axes, picked: Picked) -> None:
    """The curve with a stem to each pick; without scores, a stem of one height."""
    seconds = np.asarray(picked.seconds_T, dtype=float)
    at = seconds[list(picked.index_K)]
    if picked.scores_T is None:
        axis.vlines(at, 0, 1, color=AFTER, linewidth=1.2)
        axis.set_ylim(0, 1.15)
        axis.set_yticks([])
    else:
        scores = np.asarray(picked.scores_T, dtype=float)
        low, high = float(scores.min()), float(scores.max())
        room = max(high - low, 1e-6)
        floor = low - 0.12 * room
        axis.fill_between(seconds, floor, scores, color=AFTER, alpha=0.10, linewidth=0)
        axis.plot(seconds, scores, color=AFTER, linewidth=1.1)
        axis.vlines(at, floor, scores[list(picked.index_K)], color=INK, linewidth=0.9, alpha=0.75)
        axis.plot(at, scores[list(picked.index_K)], "o", color=INK, markersize=3.6, markeredgewidth=0)
        axis.set_ylim(floor, high + 0.1 * room)
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.set_title("score", loc="left", fontsize=8, color=MUTED, pad=3)
    axis.set_xlim(0, picked.duration)
    axis.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 3, 5, 6, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda second, _: clock(second, picked.duration)))


def _draw_frame(axis: Axes, frame_HWC: np.ndarray, time: str) -> None:
    axis.imshow(frame_HWC, aspect="auto", interpolation="antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_color(RULE)
    axis.set_xlabel(time, fontsize=8.5, color=MUTED, labelpad=2)
