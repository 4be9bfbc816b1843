"""Qwen3-VL: a clip is one video block per temporal patch, each behind its textual timestamp.

Source: Qwen3-VL technical report, and transformers' processor of the released models. Frames may be of any size that
the patches divide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

from torch import nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    Qwen3VLVisionModel,
)
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm

from kairos.core.types import Layout, Prompt, VideoClip
from kairos.policy.models.hub_processor import cut_options, frame_options, images, size_of_clips
from kairos.policy.models.pretrained import MARKERS, TransformersFamily
from kairos.policy.network.layouts import Markers
from kairos.policy.network.towers import VideoFeatures
from kairos.policy.network.vision.patches import Cut
from kairos.policy.network.vision.qwen3_tower import Qwen3Tower, run_tower
from kairos.policy.network.vision.timed_blocks import timed_blocks
from kairos.video.budget import PixelBudget

_START, _VIDEO, _END = MARKERS
_IMAGE = f"{_START}<|image_pad|>{_END}"


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

    def markers(self, tokenizer: PreTrainedTokenizerBase) -> Markers:
        """Without the outer ones, where they are left out: a chat template may write them or not."""
        whole = super().markers(tokenizer)
        return whole if self.outer_markers else whole._replace(text=_VIDEO)

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        cut = replace(self.cut, single=self.single_frames)
        if not self.outer_markers:
            before, after = before.removesuffix(_START), after.removeprefix(_END)
        return timed_blocks(cut, clip, before, after, encode, markers, self.outer_markers)

    def hub_processor(
        self, tokenizer: PreTrainedTokenizerBase, chat_template: str, budget: PixelBudget
    ) -> ProcessorMixin:
        """Its chat template writes the outer markers, or leaves them out as `layout` does."""
        if not self.outer_markers:
            chat_template = chat_template.replace("".join(MARKERS), _VIDEO)
            if _START in chat_template.replace(_IMAGE, ""):
                raise ValueError(
                    f"processor.family.outer_markers=false, but the chat template writes {_START} by itself: give one "
                    f"(processor.chat_template) that writes {_VIDEO} or {''.join(MARKERS)} for a video"
                )
        options = {**cut_options(self.cut), **frame_options(budget), **size_of_clips(budget)}
        video = Qwen3VLVideoProcessor(**options)  # type: ignore[arg-type]
        return Qwen3VLProcessor(images(self.cut, budget), tokenizer, video, chat_template=chat_template)

    def see(self, vision: nn.Module, prompts: Sequence[Prompt]) -> VideoFeatures:
        tower = cast("Qwen3VLVisionModel", vision)
        patches, grids = self.cut.of(prompts, tower.pos_embed.weight.device)
        levels = zip(tower.deepstack_visual_indexes, tower.deepstack_merger_list, strict=True)
        return run_tower(cast("Qwen3Tower", tower), patches, grids, tuple(levels))
