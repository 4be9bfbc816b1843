"""Gives a model's layers our forward passes: packed tokens, fused elementwise operators, MLPs that recompute."""

from __future__ import annotations

from typing import cast

from torch import nn
from transformers.activations import SiLUActivation
from transformers.modeling_layers import GradientCheckpointingLayer

from kairos.policy.network.text.layers import GatedMLP, PackedAttention, PackedLayer, Recomputable
from kairos.policy.network.text.norms import FusedNorm, mixin_class
from kairos.policy.network.vision.attention import WithinSegments


def fuse_layers(model: nn.Module) -> None:
    """Replace the forward passes of both towers' attentions and silu-gated MLPs, and of text layers with fused norms.

    Every layer's MLP becomes `Recomputable`. Run `fuse_norms` first.
    """
    for module in list(model.modules()):
        if hasattr(module, "q_proj") and hasattr(module, "layer_idx"):
            module.__class__ = mixin_class(PackedAttention, type(module))
        elif hasattr(module, "qkv") and hasattr(module, "proj"):
            module.__class__ = mixin_class(WithinSegments, type(module))
        elif hasattr(module, "gate_proj") and isinstance(getattr(module, "act_fn", None), (nn.SiLU, SiLUActivation)):
            module.__class__ = mixin_class(GatedMLP, type(module))
        elif isinstance(getattr(module, "post_attention_layernorm", None), FusedNorm):
            module.__class__ = mixin_class(PackedLayer, type(module))
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer) and not isinstance(layer.mlp, Recomputable):
            mlp = cast("nn.Module", layer.mlp)
            mlp.__class__ = mixin_class(Recomputable, type(mlp))
