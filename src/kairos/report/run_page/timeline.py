"""Draws annotated and predicted spans and choices, before and after training, below the frames of some prompts."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kairos.core.spans import Span
from kairos.evaluation.predictions import Prediction
from kairos.report.run_page.chosen import chosen, lasts
from kairos.report.style import AFTER, BEFORE, INK, MUTED, RULE, TRUTH
from kairos.runs.strips import Strip, read_strips

_WIDE, _LEFT, _RIGHT = 9.2, 0.62, 1.0  # inches: the figure, and beside the frames
_TITLE, _BAR, _SECONDS, _GAP = 0.28, 0.2, 0.22, 0.16


def timeline(
    before: Sequence[Prediction], after: Sequence[Prediction], strips: Path, shown: Mapping[str, str] | None = None
) -> Figure | None:
    """One clip a row, in its frames' own shape, with an axis in seconds.

    `shown`: why each prompt is shown, by uid (None: see `chosen`). None where no prompt has a duration and a score.
    """
    shown = chosen(before, after) if shown is None else shown
    rows = {name: {p.uid: p for p in rows} for name, rows in (("before", before), ("after", after))}
    known = {p.uid: p for p in (*before, *after) if lasts(p)}
    uids = [uid for uid in shown if uid in known]
    if not uids:
        return None
    index = {strip.uid: strip for strip in read_strips(strips)}
    pictures = [_open(strips, index.get(uid)) for uid in uids]
    answers = [{name: found[uid] for name, found in rows.items() if uid in found} for uid in uids]
    inner = _WIDE - _LEFT - _RIGHT
    frames = [0.0 if p is None else inner * p.shape[0] / p.shape[1] for p in pictures]
    bars = [_BAR * (len(_lines(known[uid], found))) for uid, found in zip(uids, answers, strict=True)]
    heights = [_TITLE + frame + bar + _SECONDS + _GAP for frame, bar in zip(frames, bars, strict=True)]
    figure = Figure(figsize=(_WIDE, sum(heights)))
    top = sum(heights)
    for uid, picture, found, frame, bar, height in zip(uids, pictures, answers, frames, bars, heights, strict=True):
        place = top - _TITLE - frame
        _title(figure, place + frame, sum(heights), known[uid], shown[uid])
        if picture is not None:
            axis = _axes(figure, place, frame, sum(heights))
            axis.set_axis_off()
            axis.imshow(picture, aspect="auto", interpolation="bilinear")
        _bars(_axes(figure, place - bar, bar, sum(heights)), known[uid], _lines(known[uid], found))
        top -= height
    return figure


def _axes(figure: Figure, bottom: float, height: float, whole: float) -> Axes:
    return figure.add_axes((_LEFT / _WIDE, bottom / whole, (_WIDE - _LEFT - _RIGHT) / _WIDE, height / whole))


def _title(figure: Figure, bottom: float, whole: float, known: Prediction, why: str) -> None:
    text = textwrap.shorten(" ".join(known.question.split()), width=90, placeholder=" …")
    left, height = _LEFT / _WIDE, (bottom + 0.07) / whole
    figure.text(left, height, text, fontsize=9, color=INK, ha="left", va="bottom")
    figure.text((_WIDE - _RIGHT) / _WIDE, height, why, fontsize=8, color=MUTED, ha="right", va="bottom")


def _lines(known: Prediction, answers: Mapping[str, Prediction]) -> list[tuple[str, str, tuple[Span, ...], str]]:
    """(name, colour, spans, text) of each line below the frames."""
    annotated = known.target_spans or known.target_choice
    lines = [("true", TRUTH, known.target_spans, known.target_choice or "")] if annotated else []
    for name, color in (("before", BEFORE), ("after", AFTER)):
        if name in answers:
            label = name if annotated or len(answers) > 1 else "answer"
            lines.append((label, color, answers[name].spans, _said(answers[name])))
    return lines


def _bars(axis: Axes, known: Prediction, lines: Sequence[tuple[str, str, tuple[Span, ...], str]]) -> None:
    duration = known.duration or 1.0
    axis.set_xlim(0, duration)
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.set_yticks(range(len(lines)), [name for name, *_ in lines], fontsize=8, color=MUTED)
    axis.tick_params(axis="both", length=0, labelsize=8, colors=MUTED)
    axis.tick_params(axis="x", pad=1)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
    axis.spines[["top", "right", "left", "bottom"]].set_visible(False)
    for y, (_, color, spans, text) in enumerate(lines):
        axis.plot((0, duration), (y, y), color=RULE, linewidth=1, zorder=1)
        for span in (span for span in spans if not math.isnan(sum(span))):
            start, end = (min(max(second, 0.0), duration) for second in span)
            axis.barh(y, max(end - start, 0.004 * duration), left=start, height=0.62, color=color, zorder=2)
        axis.text(1.012 * duration, y, text, ha="left", va="center", fontsize=8, color=INK)


def _open(folder: Path, strip: Strip | None) -> np.ndarray | None:
    if strip is None or not (folder / strip.file).is_file():
        return None
    with Image.open(folder / strip.file) as picture:
        return np.asarray(picture.convert("RGB"))


def _said(row: Prediction) -> str:
    """What the answer was worth: its letter, its IoU, or why it is none."""
    if row.correct is None and row.options and not row.spans:
        return row.choice or "no letter"
    if row.correct is not None:
        letter = row.choice or "no letter"
        choice = f"{letter}, {'right' if row.correct else 'wrong'}"
        return choice if row.iou is None else f"{choice}, IoU {row.iou:.2f}"
    if not row.spans:
        return "no span"
    return f"IoU {row.iou:.2f}" if row.iou is not None else ""
