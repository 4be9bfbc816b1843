"""Qwen2.5-VL: a clip is one video block, and its rotary time axis counts real seconds.

Source: Qwen2.5-VL technical report, section 2.1, and vLLM's positions of the released models. The text behind a video
starts behind all three axes, as in training; transformers ignores the time axis there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

import numpy as np
import torch
from torch import nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLRMSNorm

from kairos.core.types import Layout, Prompt, VideoClip
from kairos.policy.models.hub_processor import cut_options, frame_options, images, size_of_frames
from kairos.policy.models.pretrained import TransformersFamily
from kairos.policy.network.layouts import Markers
from kairos.policy.network.towers import VideoFeatures
from kairos.policy.network.vision.frame_times import evenly_spread, patch_seconds
from kairos.policy.network.vision.patches import Cut
from kairos.policy.network.vision.qwen2_5_tower import Qwen25Tower, run_tower
from kairos.video.budget import PixelBudget

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Qwen25VL(TransformersFamily):
    """The family of Qwen2.5-VL."""

    kind: ClassVar[type[PreTrainedModel]] = Qwen2_5_VLForConditionalGeneration
    norm: ClassVar[type[nn.Module]] = Qwen2_5_VLRMSNorm

    tokens_per_second: int = 2
    """Steps of the time axis in one second: 2 in every released model."""
    single_frames: bool = field(default=False, repr=False)
    """Every frame is a temporal patch with a time of its own: for frames that are not evenly spread."""
    cut: Cut = field(default_factory=lambda: Cut(14, mean=CLIP_MEAN, std=CLIP_STD))
    """The model's patches."""

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        """Patches of evenly spread frames share the clip's duration equally (rounded to fp32); other patches, and every
        single frame, take the time of their first frame, from the clip's beginning."""
        cut = replace(self.cut, single=self.single_frames)
        grid = cut.grid(clip)
        rows, columns = cut.tokens(grid)
        first = [*encode(before), *markers.start]
        video = [markers.pad] * (grid.time * rows * columns)
        ids_L = torch.tensor([*first, *video, *markers.end, *encode(after)])
        if int((ids_L == markers.pad).sum()) != len(video):
            raise ValueError(f"the text of a prompt about clip {clip.uid} contains a video token")
        if evenly_spread(clip) and not self.single_frames:
            seconds = float(np.float32(cut.spans * clip.duration / len(clip)))
            places = np.arange(grid.time) * (seconds * self.tokens_per_second)
        else:
            seconds = None
            places = patch_seconds(cut, clip)[:, 0].numpy() * self.tokens_per_second
        return Layout(
            ids_L=ids_L,
            positions_3L=torch.from_numpy(positions(len(first), len(ids_L), (rows, columns), places)),
            grid_thw_N3=torch.tensor([grid]),
            seconds_per_grid=seconds,
            frames=cut.frames(clip),
        )

    def hub_processor(
        self, tokenizer: PreTrainedTokenizerBase, chat_template: str, budget: PixelBudget
    ) -> ProcessorMixin:
        options = {**cut_options(self.cut), **frame_options(budget), **size_of_frames(budget)}
        video = Qwen2VLVideoProcessor(**options)  # type: ignore[arg-type]
        return Qwen2_5_VLProcessor(images(self.cut, budget), tokenizer, video, chat_template=chat_template)

    def prepared(self, model: PreTrainedModel) -> PreTrainedModel:
        theirs = model.config.vision_config.tokens_per_second
        if theirs != self.tokens_per_second:
            raise ValueError(
                f"the model counts {theirs} tokens per second, but processor.family.tokens_per_second is "
                f"{self.tokens_per_second}"
            )
        return super().prepared(model)

    def see(self, vision: nn.Module, prompts: Sequence[Prompt]) -> VideoFeatures:
        patches, grids = self.cut.of(prompts, next(vision.parameters()).device)
        return run_tower(cast("Qwen25Tower", vision), patches, grids)


def positions(start: int, length: int, sides: tuple[int, int], places: np.ndarray) -> np.ndarray:
    """Rotary positions (time, height, width), int64 [3, length], of a text with one video block from token `start` on.

    `sides` are the (rows, columns) of tokens in a temporal patch. Patch i has time `places[i]` (fp64), truncated to an
    integer. The text behind the video continues from the largest position of any axis.

    >>> positions(1, 6, (1, 2), np.array([0, 2.5]))[0].tolist()
    [0, 1, 1, 3, 3, 4]
    """
    video_3N = np.indices((len(places), *sides)).reshape(3, -1)
    video_3N[0] = places.astype(np.int64)[video_3N[0]]
    video_3N += start
    behind = length - start - video_3N.shape[1]
    after = np.arange(behind) + video_3N.max() + 1
    before_3N, after_3N = (np.broadcast_to(text, (3, len(text))) for text in (np.arange(start), after))
    return np.concatenate([before_3N, video_3N, after_3N], axis=1).astype(np.int64)
