"""Qwen3.5: the layout of Qwen3-VL, and a text tower of gated delta nets with attention in every fourth layer.

Source: transformers' model and processor (that of Qwen3-VL) for `model_type` qwen3_5. The vision tower has no deepstack
features. A checkpoint's heads for multi-token prediction (mtp) are not loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from torch import nn
from transformers import PreTrainedModel, Qwen3_5ForConditionalGeneration, Qwen3_5VisionModel
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5RMSNorm

from kairos.core.types import Prompt
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.network.delta_net.backends import Kernels
from kairos.policy.network.text.delta_layer import use_packed_delta_nets
from kairos.policy.network.text.norms import FusedNorm, FusedOffsetNorm
from kairos.policy.network.towers import VideoFeatures
from kairos.policy.network.vision.qwen3_tower import Qwen3Tower, run_tower


@dataclass(frozen=True)
class Qwen35(Qwen3VL):
    """The family of Qwen3.5."""

    kind: ClassVar[type[PreTrainedModel]] = Qwen3_5ForConditionalGeneration
    norm: ClassVar[type[nn.Module]] = Qwen3_5RMSNorm
    fused: ClassVar[type[FusedNorm]] = FusedOffsetNorm

    kernels: Kernels | None = None
    """Backend of the gated delta nets: `Torch()`, `FlashLinear()`, or None for `backends.automatic`."""

    def prepared(self, model: PreTrainedModel) -> PreTrainedModel:
        use_packed_delta_nets(model, self.kernels)
        return super().prepared(model)

    def see(self, vision: nn.Module, prompts: Sequence[Prompt]) -> VideoFeatures:
        tower = cast("Qwen3_5VisionModel", vision)
        patches, grids = self.cut.of(prompts, tower.pos_embed.weight.device)
        return run_tower(cast("Qwen3Tower", tower), patches, grids)
