"""Qwen3.5: laid out as Qwen3-VL; its text tower is gated delta nets with attention in every fourth layer.

Source: transformers' model and processor (that of Qwen3-VL) for `model_type` qwen3_5. The tower has no deeper levels.
A checkpoint's heads for several tokens at once (mtp) are left out.
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
from kairos.policy.network.text.delta_layer import with_context
from kairos.policy.network.text.norms import Fused, FusedAroundOne
from kairos.policy.network.towers import Seen
from kairos.policy.network.vision.qwen3_tower import Qwen3Tower, look


@dataclass(frozen=True)
class Qwen35(Qwen3VL):
    """`kernels` of the gated delta nets: `Torch()`, `FlashLinear()`, or None, which is `backends.automatic`."""

    kind: ClassVar[type[PreTrainedModel]] = Qwen3_5ForConditionalGeneration
    norm: ClassVar[type[nn.Module]] = Qwen3_5RMSNorm
    fused: ClassVar[type[Fused]] = FusedAroundOne

    kernels: Kernels | None = None

    def ready(self, model: PreTrainedModel) -> PreTrainedModel:
        with_context(model, self.kernels)
        return super().ready(model)

    def see(self, vision: nn.Module, prompts: Sequence[Prompt]) -> Seen:
        tower = cast("Qwen3_5VisionModel", vision)
        patches, grids = self.cut.of(prompts, tower.pos_embed.weight.device)
        return look(cast("Qwen3Tower", tower), patches, grids)
