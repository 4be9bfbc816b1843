"""Qwen3-VL: a clip is one video block per temporal patch, each behind its textual timestamp.

Source: Qwen3-VL technical report, and transformers' processor of the released models. Frames may be of any size that
the patches divide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

from torch import nn
from transformers import PreTrainedModel, Qwen3VLForConditionalGeneration, Qwen3VLVisionModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm

from kairos.core.types import Layout, Prompt, VideoClip
from kairos.policy.models.pretrained import TransformersFamily
from kairos.policy.network.layouts import Markers
from kairos.policy.network.towers import VideoFeatures
from kairos.policy.network.vision.patches import Cut
from kairos.policy.network.vision.qwen3_tower import Qwen3Tower, run_tower
from kairos.policy.network.vision.timed_blocks import timed_blocks


@dataclass(frozen=True)
class Qwen3VL(TransformersFamily):
    """The family of Qwen3-VL."""

    kind: ClassVar[type[PreTrainedModel]] = Qwen3VLForConditionalGeneration
    norm: ClassVar[type[nn.Module]] = Qwen3VLTextRMSNorm

    outer_markers: bool = True
    """Keep the chat template's start and end markers around the whole video, as transformers since 5.10 and vLLM do.
    Earlier releases left them out; False is for models that were trained so, such as the mini base."""
    single_frames: bool = field(default=False, repr=False)
    """Every frame is a temporal patch with a time of its own: for frames that are not evenly spread."""
    cut: Cut = field(default_factory=lambda: Cut(patch=16))
    """The model's patches."""

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        cut = replace(self.cut, single=self.single_frames)
        return timed_blocks(cut, clip, before, after, encode, markers, self.outer_markers)

    def see(self, vision: nn.Module, prompts: Sequence[Prompt]) -> VideoFeatures:
        tower = cast("Qwen3VLVisionModel", vision)
        patches, grids = self.cut.of(prompts, tower.pos_embed.weight.device)
        levels = zip(tower.deepstack_visual_indexes, tower.deepstack_merger_list, strict=True)
        return run_tower(cast("Qwen3Tower", tower), patches, grids, tuple(levels))
