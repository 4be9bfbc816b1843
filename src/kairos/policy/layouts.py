"""What every family's layout is made with and asked for: the tokens that mark a video, and a prompt's own layout."""

from __future__ import annotations

from typing import NamedTuple

from kairos.core.types import Layout, Prompt


class Markers(NamedTuple):
    """Token ids that stand around and for a video."""

    start: int
    pad: int
    end: int


def layout_of(prompt: Prompt) -> Layout:
    """The prompt's layout; ValueError when nobody wrote one."""
    if prompt.layout is None:
        raise ValueError(f"prompt {prompt.uid} has no layout: call the processor on it first")
    return prompt.layout
