"""Draws annotated and predicted spans, before and after training, above the frames of a dozen prompts."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kairos.evaluation.predictions import Prediction
from kairos.report.run_page.strips import Strip, read_strips
from kairos.report.style import AFTER, BEFORE, INK, MUTED, RULE, TRUTH


def timeline(
    before: Sequence[Prediction], after: Sequence[Prediction], strips: Path, count: int = 12, columns: int = 2
) -> Figure | None:
    """One picture for up to `count` prompts: those with a strip, else the first that ask for a span."""
    pictures = {strip.uid: strip for strip in read_strips(strips)}
    rows = {name: {p.uid: p for p in rows} for name, rows in (("before", before), ("after", after))}
    known = {p.uid: p for p in (*before, *after) if p.target_spans and p.duration}
    chosen = ([uid for uid in pictures if uid in known] or list(known))[:count]
    if not chosen:
        return None
    lines = math.ceil(len(chosen) / columns)
    tall = 1.55 if pictures else 0.95
    figure = Figure(figsize=(6.0 * columns, tall * lines), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.06, w_pad=0.12)  # type: ignore[union-attr]
    axes = figure.subplots(lines, columns, squeeze=False).T.ravel()
    for axis, uid in zip(axes, chosen, strict=False):
        picture = _open(strips, pictures.get(uid))
        _row(axis, known[uid], {name: found[uid] for name, found in rows.items() if uid in found}, picture)
    for axis in axes[len(chosen) :]:
        axis.set_visible(False)
    return figure


def _open(folder: Path, strip: Strip | None) -> np.ndarray | None:
    if strip is None or not (folder / strip.file).is_file():
        return None
    with Image.open(folder / strip.file) as picture:
        return np.asarray(picture.convert("RGB"))


def _row(axis: Axes, known: Prediction, answers: Mapping[str, Prediction], picture: np.ndarray | None) -> None:
    duration = known.duration or 1.0
    axis.set_axis_off()
    axis.set_xlim(-0.1 * duration, 1.13 * duration)
    bars = [("true", TRUTH, known.target_spans, "")]
    for name, color in (("before", BEFORE), ("after", AFTER)):
        if name in answers:
            bars.append((name, color, answers[name].spans, _score(answers[name])))
    top = 0.0
    if picture is not None:
        axis.imshow(picture, extent=(0, duration, 0.2, 3.2), aspect="auto", interpolation="bilinear")
        top = 3.2
    for line, (name, color, spans, score) in enumerate(bars):
        y = -0.55 - 0.9 * line
        axis.plot((0, duration), (y, y), color=RULE, linewidth=1, zorder=1)
        for span in spans:
            start, end = (min(max(second, 0.0), duration) for second in span)
            axis.barh(y, max(end - start, 0.004 * duration), left=start, height=0.55, color=color, zorder=2)
        axis.text(-0.012 * duration, y, name, ha="right", va="center", fontsize=8, color=MUTED)
        axis.text(1.012 * duration, y, score, ha="left", va="center", fontsize=8, color=INK)
    axis.set_ylim(-0.95 - 0.9 * (len(bars) - 1), top + 0.1)
    text = textwrap.shorten(" ".join(known.question.split()), width=70, placeholder=" …").replace("$", r"\$")
    axis.set_title(f"{text}   ({duration:.1f} s)", loc="left", x=0.1 / 1.23, fontsize=9, color=INK, pad=3)


def _score(prediction: Prediction) -> str:
    if not prediction.spans:
        return "no span"
    return f"IoU {prediction.iou:.2f}" if prediction.iou is not None else ""
