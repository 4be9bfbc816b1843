"""Gives the layers of a loaded model our forward passes: packed tokens, fused elementwise work, MLPs computed again."""

from __future__ import annotations

from typing import cast

from torch import nn
from transformers.activations import SiLUActivation
from transformers.modeling_layers import GradientCheckpointingLayer

from kairos.policy.network.text.layers import GatedMLP, PackedAttention, PackedLayer, Recomputable
from kairos.policy.network.text.norms import Fused, mixin_class
from kairos.policy.network.vision.attention import WithinSegments


def fuse_layers(model: nn.Module) -> None:
    """From now on attentions and MLPs gated by silu, of either tower, run as ours do, and so do text layers whose norms
    are; a layer's MLP can be computed again."""
    for module in list(model.modules()):
        if hasattr(module, "q_proj") and hasattr(module, "layer_idx"):
            module.__class__ = mixin_class(PackedAttention, type(module))
        elif hasattr(module, "qkv") and hasattr(module, "proj"):
            module.__class__ = mixin_class(WithinSegments, type(module))
        elif hasattr(module, "gate_proj") and isinstance(getattr(module, "act_fn", None), (nn.SiLU, SiLUActivation)):
            module.__class__ = mixin_class(GatedMLP, type(module))
        elif isinstance(getattr(module, "post_attention_layernorm", None), Fused):
            module.__class__ = mixin_class(PackedLayer, type(module))
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer) and not isinstance(layer.mlp, Recomputable):
            mlp = cast("nn.Module", layer.mlp)
            mlp.__class__ = mixin_class(Recomputable, type(mlp))
