"""The scores of a frame agent over one clip, iteration by iteration, and the frames picked: a picture and a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kairos.core.files import write_whole
from kairos.report.style import AFTER, INK, MUTED, TRUTH, panel, save, title


@dataclass(frozen=True)
class Step:
    """One iteration of one prompt."""

    iteration: int
    """From 1."""
    scores_T: Sequence[float]
    """The agent's score of each frame before the iteration's update."""
    picked: Sequence[Sequence[int]]
    """The frames of each rollout."""
    reward: float
    """The mean reward of the rollouts."""


def draw_steps(steps: Sequence[Step], evidence: Sequence[int], path: Path) -> Path:
    """Write one panel per step as PNG: the score curve, every rollout's picks as ticks below, the evidence shaded."""
    columns = min(5, len(steps))
    rows = -(-len(steps) // columns)
    figure = Figure(figsize=(2.7 * columns, 2.1 * rows), layout="constrained")
    axes = panel(figure, rows, columns)
    low, high = _limits(steps)
    for axis, step in zip(axes, steps, strict=False):
        _draw(axis, step, evidence, low, high)
    for axis in axes[len(steps) :]:
        axis.set_visible(False)
    return save(figure, path)


def animate(steps: Sequence[Step], evidence: Sequence[int], path: Path, seconds: float = 0.8) -> Path:
    """Write the steps one after the other as an animated GIF that loops, each shown for `seconds`."""
    low, high = _limits(steps)
    frames: list[Image.Image] = []
    for step in steps:
        figure = Figure(figsize=(6.0, 3.2), layout="constrained")
        (axis,) = panel(figure, 1, 1)
        _draw(axis, step, evidence, low, high)
        axis.set_xlabel("frame", color=MUTED, fontsize=9)
        axis.set_ylabel("score", color=MUTED, fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100, facecolor="white")
        frames.append(Image.open(buffer).convert("P", palette=Image.Palette.ADAPTIVE))
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0)
    return write_whole(path, buffer.getvalue())


def _limits(steps: Sequence[Step]) -> tuple[float, float]:
    low, high = min(min(step.scores_T) for step in steps), max(max(step.scores_T) for step in steps)
    return low - 0.25 * (high - low), high + 0.05 * (high - low)


def _draw(axis: Axes, step: Step, evidence: Sequence[int], low: float, high: float) -> None:
    if evidence:
        axis.axvspan(min(evidence) - 0.5, max(evidence) + 0.5, color=TRUTH, alpha=0.12, linewidth=0)
    axis.plot(range(len(step.scores_T)), step.scores_T, color=AFTER, linewidth=1.0)
    height = 0.2 * (high - low) / max(1, len(step.picked))
    for row, frames in enumerate(step.picked):
        level = low + row * height
        axis.vlines(list(frames), level, level + 0.8 * height, color=INK, linewidth=1.0)
    axis.set_ylim(low, high)
    title(axis, f"iteration {step.iteration}, mean reward {step.reward:.2f}")
