"""Accessors of a prompt's frames and layout that refuse a prompt without them, and the tokens that mark a video."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from kairos.core.types import Layout, Prompt


class Markers(NamedTuple):
    """How a family marks a video in a text, and with which token ids."""

    text: str
    """What the chat template writes for a video."""
    start: tuple[int, ...]
    """Stand before a video block; empty for a family without such a token, like `end`."""
    pad: int
    """Stands for one piece of a video; its embedding is replaced by a feature."""
    end: tuple[int, ...]
    """Stand behind a video block."""


def frames_in(prompt: Prompt) -> Tensor:
    """The frames of the prompt's clip, uint8 [T, 3, H, W]; ValueError when it has none."""
    frames_TCHW = prompt.clip.frames_TCHW
    if frames_TCHW is None or not len(frames_TCHW):
        raise ValueError(
            f"prompt {prompt.uid}: clip {prompt.clip.uid} has no frames; a language policy needs a decoded clip, and "
            "of a composed one the frames that a sampler takes (sampler=uniform shown_frames=16)"
        )
    return frames_TCHW


def layout_of(prompt: Prompt) -> Layout:
    """The prompt's layout; ValueError when it has none."""
    if prompt.layout is None:
        raise ValueError(f"prompt {prompt.uid} has no layout: call the processor on it first")
    return prompt.layout
