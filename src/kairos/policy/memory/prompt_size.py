"""Bounds the tokens of a prompt under a pixel budget."""

from __future__ import annotations

from kairos.video.budget import TEMPORAL_PATCH, PixelBudget

WORDS = 256
"""Text tokens of a prompt around its video: the longest wording of the shipped templates has about 200."""
STAMP = 10
"""Tokens of one textual timestamp and the markers around its frames."""


def text_tokens(budget: PixelBudget, stamped: bool) -> int:
    """Text tokens of a prompt at most: its wording, and with `stamped` a textual timestamp for each temporal patch."""
    return WORDS + (STAMP * most_frames(budget) // TEMPORAL_PATCH if stamped else 0)


def vision_tokens(budget: PixelBudget) -> int:
    """Vision tokens of a clip that fills the budget. A clip so long that min_pixels decides can have more."""
    return int(min(budget.total, budget.largest * (budget.max_frames // TEMPORAL_PATCH))) // budget.factor**2


def most_frames(budget: PixelBudget) -> int:
    """The largest number of frames that fit the budget: each at its smallest size, `max_frames` at most."""
    return min(budget.max_frames, int(budget.total / budget.smallest) * TEMPORAL_PATCH)
