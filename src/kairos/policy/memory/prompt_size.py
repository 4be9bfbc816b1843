"""Bounds the tokens of a prompt under a pixel budget."""

from __future__ import annotations

from kairos.video.budget import TEMPORAL_PATCH, PixelBudget

WORDS = 256
"""Text tokens of a prompt around its video: the longest wording of the shipped templates has about 200."""
STAMP = 10
"""Tokens of one textual timestamp and the markers around its frames."""


def text_tokens(budget: PixelBudget, stamped: bool) -> int:
    """Text tokens of a prompt at most: its wording, and with `stamped` a textual timestamp for each temporal patch."""
    return WORDS + (STAMP * patches(budget) if stamped else 0)


def vision_tokens(budget: PixelBudget) -> int:
    """Vision tokens of a clip that fills the budget. A clip so long that min_pixels decides can have more."""
    if budget.shown is None:
        pixels = min(budget.total, budget.largest * (budget.max_frames // TEMPORAL_PATCH))
    else:
        pixels = min(budget.total * TEMPORAL_PATCH, budget.largest * patches(budget))
    return int(pixels) // budget.factor**2


def patches(budget: PixelBudget) -> int:
    """The largest number of temporal patches that a model sees: of the chosen frames, each is one of its own."""
    return most_frames(budget) // TEMPORAL_PATCH if budget.shown is None else min(budget.shown, budget.max_frames)


def most_frames(budget: PixelBudget) -> int:
    """The largest number of frames that fit the budget: each at its smallest size, `max_frames` at most."""
    return min(budget.max_frames, int(budget.total / budget.smallest) * TEMPORAL_PATCH)
