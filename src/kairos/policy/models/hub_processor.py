"""Parts of transformers' processors that show an exported model what it was trained on: frames, sizes, patches.

transformers counts otherwise than `PixelBudget` in four ways. It bounds the pixels of a whole clip from below, not
those of a frame; it rounds shares of the budget to whole tokens or pixels; where it chooses the frames itself, their
number may be odd; it resizes in whole numbers, which moves some colours by a few of 255 steps. Frames that have their
size already, handed over with their times, become exactly our patches and tokens.
"""

from __future__ import annotations

import math

from transformers.models.qwen2_vl import Qwen2VLImageProcessor

from kairos.policy.network.vision.patches import Cut
from kairos.video.budget import TEMPORAL_PATCH, PixelBudget


def cut_options(cut: Cut) -> dict[str, object]:
    """How transformers is told to cut frames into patches as `cut` does."""
    return {
        "patch_size": cut.patch,
        "merge_size": cut.merge,
        "temporal_patch_size": cut.temporal,
        "image_mean": list(cut.mean),
        "image_std": list(cut.std),
    }


def frame_options(budget: PixelBudget) -> dict[str, object]:
    """How transformers is told to choose frames, and to give none more pixels than its share of the budget."""
    return {
        "do_sample_frames": True,
        "fps": float(budget.fps),
        "min_frames": budget.min_frames,
        "max_frames": budget.max_frames,
        "cap_pixels_per_frame": True,
    }


def images(cut: Cut, budget: PixelBudget) -> Qwen2VLImageProcessor:
    """For still images, with the sizes of a frame."""
    size = {"shortest_edge": budget.smallest, "longest_edge": budget.largest}
    return Qwen2VLImageProcessor(**cut_options(cut), size=size)  # type: ignore[arg-type]


def size_of_frames(budget: PixelBudget) -> dict[str, object]:
    """Bounds of Qwen2.5-VL's processor: on a frame, and a clip's pixels as 90 % of so many tokens."""
    return {
        "size": {"shortest_edge": _smallest(budget), "longest_edge": budget.largest},
        "max_video_tokens": math.ceil(budget.total / budget.factor**2 / 0.9),
    }


def size_of_clips(budget: PixelBudget) -> dict[str, object]:
    """Bounds of Qwen3-VL's processor: on the pixels of all frames together, and on the tokens of a frame."""
    return {
        "size": {"shortest_edge": _smallest(budget), "longest_edge": int(budget.total * TEMPORAL_PATCH)},
        "max_video_tokens": budget.largest // budget.factor**2,
    }


def _smallest(budget: PixelBudget) -> int:
    """transformers gives every frame 1.05 times the smallest size, although that may exceed the largest."""
    return min(budget.smallest, int(budget.largest / 1.05))


def with_thinking(template: str, thinking: bool | None) -> str:
    """The chat template, with this value of `enable_thinking` where its caller gives none.

    >>> with_thinking("{{ enable_thinking }}", False)
    '{%- if enable_thinking is not defined %}{%- set enable_thinking = false %}{%- endif %}{{ enable_thinking }}'
    """
    if thinking is None:
        return template
    value = str(thinking).lower()
    default = f"{{%- if enable_thinking is not defined %}}{{%- set enable_thinking = {value} %}}{{%- endif %}}"
    return template if template.startswith(default) else default + template
