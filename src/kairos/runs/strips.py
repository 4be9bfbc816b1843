"""Saves small strips of frames during evaluation, so that a report can be rebuilt without the videos."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image

from kairos.core.types import Prompt, VideoClip

INDEX = "strips.json"


@dataclass(frozen=True)
class Strip:
    """One saved picture of evenly spaced frames side by side."""

    uid: str
    """Of the prompt."""
    file: str
    frames: int
    """Number of frames."""
    duration: float
    """Seconds that the frames cover."""


def save_strips(prompts: Iterable[Prompt], folder: Path, frames: int = 12, height: int = 56) -> list[Strip]:
    """Save a strip of each prompt that has frames: `folder/NN.png` and an index; returns the index.

    Nothing is written when no prompt has any.
    """
    strips: list[Strip] = []
    for prompt in prompts:
        if prompt.clip.frames_TCHW is None or len(prompt.clip) == 0:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        file = f"{len(strips):02d}.png"
        strip(prompt.clip, frames, height).save(folder / file, optimize=True)
        strips.append(Strip(prompt.uid, file, frames, float(prompt.clip.duration)))
    if strips:
        (folder / INDEX).write_text(json.dumps([asdict(s) for s in strips], indent=1), encoding="utf-8")
    return strips


def read_strips(folder: Path) -> list[Strip]:
    """The index that `save_strips` wrote; empty if there is none."""
    index = folder / INDEX
    try:
        return [Strip(**row) for row in json.loads(index.read_bytes())] if index.is_file() else []
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{index} is no list of strips ({error}): remove it to draw the page without them") from error


def strip(clip: VideoClip, frames: int, height: int) -> Image.Image:
    """`frames` frames side by side, each from the middle of an equal part of the duration."""
    assert clip.frames_TCHW is not None
    middles = (torch.arange(frames, dtype=torch.float64) + 0.5) * (clip.duration / frames)
    index = torch.searchsorted(clip.seconds_T.double().contiguous(), middles, right=True).sub(1).clamp(min=0)
    pictures = []
    for position in index.tolist():
        picture = Image.fromarray(clip.frames_TCHW[position].permute(1, 2, 0).contiguous().numpy())
        width = max(1, round(picture.width * height / picture.height))
        pictures.append(picture.resize((width, height), Image.Resampling.LANCZOS))
    whole = Image.new("RGB", (sum(p.width for p in pictures), height))
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width
    return whole
