"""How many tokens a prompt has at most, by its pixel budget alone."""

from __future__ import annotations

from kairos.video.budget import TEMPORAL_PATCH, PixelBudget

WORDS = 256
"""Text tokens of a prompt around its video: the longest wording of the shipped templates has about 200."""
STAMP = 10
"""Tokens of one textual timestamp and the markers around its frames."""


def text_tokens(budget: PixelBudget, stamped: bool) -> int:
    """The wording, and where every temporal patch is `stamped` with its time in words, those."""
    return WORDS + (STAMP * most_frames(budget) // TEMPORAL_PATCH if stamped else 0)


def vision_tokens(budget: PixelBudget) -> int:
    """Vision tokens of a clip that fills the budget. One so long that min_pixels takes over can have more."""
    return int(min(budget.total, budget.largest * (budget.max_frames // TEMPORAL_PATCH))) // budget.factor**2


def most_frames(budget: PixelBudget) -> int:
    """Frames of a clip that is as long as it may be before every frame is at its smallest."""
    return min(budget.max_frames, int(budget.total / budget.smallest) * TEMPORAL_PATCH)
