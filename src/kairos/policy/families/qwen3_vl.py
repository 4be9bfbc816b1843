"""Qwen3-VL: a clip is one video block per temporal patch, each behind its textual timestamp.

Source: Qwen3-VL technical report, and transformers' processor of the released models. Frames may be of any size that
the patches divide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, Qwen3VLForConditionalGeneration

from kairos.core.types import Layout, Prompt, VideoClip
from kairos.policy.attention import TEXT_ATTENTION, VISION_ATTENTION
from kairos.policy.families.base import Markers, Seen, TextTower
from kairos.policy.loading import pretrained
from kairos.policy.vision.patches import Cut
from kairos.policy.vision.qwen3_tower import Qwen3Tower, look
from kairos.policy.vision.timed_blocks import timed_blocks


@dataclass(frozen=True)
class Qwen3VL:
    """`outer_markers`: keep the chat template's start and end around the whole video.

    transformers keeps them since 5.10 (vLLM likewise); its first releases of the model replaced them by the blocks, and
    so do models that were trained that way, our mini base among them.
    """

    outer_markers: bool = True
    cut: Cut = field(default_factory=lambda: Cut(patch=16))

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        return timed_blocks(self.cut, clip, before, after, encode, markers, self.outer_markers)

    def load(self, weights: str) -> PreTrainedModel:
        return _with_our_attention(pretrained(Qwen3VLForConditionalGeneration, weights))

    def create(self, config: PreTrainedConfig) -> PreTrainedModel:
        return _with_our_attention(Qwen3VLForConditionalGeneration(config))

    def text(self, model: PreTrainedModel) -> TextTower:
        return cast("TextTower", _whole(model).model.language_model)

    def vision(self, model: PreTrainedModel) -> nn.Module:
        return _whole(model).model.visual

    def head(self, model: PreTrainedModel) -> nn.Module:
        return _whole(model).lm_head

    def video_token(self, model: PreTrainedModel) -> int:
        return model.config.video_token_id

    def banned(self, model: PreTrainedModel) -> tuple[int, ...]:
        config = model.config
        return (
            config.video_token_id, config.image_token_id, config.vision_start_token_id, config.vision_end_token_id,
        )  # fmt: skip

    def see(self, model: PreTrainedModel, prompts: Sequence[Prompt]) -> Seen:
        tower = _whole(model).model.visual
        patches, grids = self.cut.of(prompts, tower.pos_embed.weight.device)
        levels = zip(tower.deepstack_visual_indexes, tower.deepstack_merger_list, strict=True)
        return look(cast("Qwen3Tower", tower), patches, grids, tuple(levels))


def _whole(model: PreTrainedModel) -> Qwen3VLForConditionalGeneration:
    return cast("Qwen3VLForConditionalGeneration", model)


def _with_our_attention(model: Qwen3VLForConditionalGeneration) -> PreTrainedModel:
    model.model.language_model.config._attn_implementation = TEXT_ATTENTION
    model.model.visual.config._attn_implementation = VISION_ATTENTION
    return model
