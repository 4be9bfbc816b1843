"""Qwen3.5: laid out as Qwen3-VL; its text tower is gated delta nets with attention in every fourth layer.

Source: transformers' model and processor (that of Qwen3-VL) for `model_type` qwen3_5. The tower has no deeper levels.
A checkpoint's heads for several tokens at once (mtp) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedConfig, PreTrainedModel, Qwen3_5ForConditionalGeneration

from kairos.core.types import Prompt
from kairos.policy.attention import TEXT_ATTENTION, VISION_ATTENTION
from kairos.policy.delta_net.kernels import Kernels
from kairos.policy.delta_net.net import with_context
from kairos.policy.families.base import Seen
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.loading import pretrained
from kairos.policy.vision.qwen3_tower import Qwen3Tower, look


@dataclass(frozen=True)
class Qwen35(Qwen3VL):
    """`kernels` of the gated delta nets: `Torch()`, `FlashLinear()`, or None, which is `kernels.automatic`."""

    kernels: Kernels | None = None

    def load(self, weights: str) -> PreTrainedModel:
        return self._prepared(pretrained(Qwen3_5ForConditionalGeneration, weights))

    def create(self, config: PreTrainedConfig) -> PreTrainedModel:
        return self._prepared(Qwen3_5ForConditionalGeneration(config))

    def see(self, model: PreTrainedModel, prompts: Sequence[Prompt]) -> Seen:
        tower = cast("Qwen3_5ForConditionalGeneration", model).model.visual
        patches, grids = self.cut.of(prompts, tower.pos_embed.weight.device)
        return look(cast("Qwen3Tower", tower), patches, grids)

    def _prepared(self, model: Qwen3_5ForConditionalGeneration) -> PreTrainedModel:
        model.model.language_model.config._attn_implementation = TEXT_ATTENTION
        model.model.visual.config._attn_implementation = VISION_ATTENTION
        with_context(model.model.language_model, self.kernels)
        return model
