"""The numbers of a model that decide how much memory it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from torch import nn
from transformers import PreTrainedConfig

from kairos.policy.network.towers import Towers


@dataclass(frozen=True)
class Sizes:
    """Numbers of parameters, and widths per token, layer and patch."""

    trained: int
    """Parameters."""
    frozen: int
    """Parameters."""
    vision: int
    """Parameters of the vision tower, trained or not; part of the two above."""
    adapter: bool
    """Trained through an adapter: with it off the model is its own reference, without a copy."""
    hidden: int
    intermediate: int
    queries: int
    """Query heads times their width, of one layer."""
    keys: int
    """Key heads times their width, of one layer; values have as many."""
    normed: bool
    """Queries and keys are normalised."""
    gated: bool
    """The output of attention is multiplied by a gate."""
    layers: int
    """Text layers of both kinds: with attention, and with a gated delta net."""
    attending: int
    """Those with attention, which keep keys and values."""
    state: int
    """Numbers of the delta nets' states of one row, all layers; 0 without any, as the next three."""
    values: int
    """Value heads times their width, of one delta net."""
    value_keys: int
    """Key heads times their width, of one delta net."""
    value_heads: int
    vocabulary: int
    vision_hidden: int
    vision_intermediate: int
    vision_layers: int
    vision_gated: bool
    """The tower's MLPs are gated."""
    vision_trained: bool
    patches: int
    """Patches that are merged into one vision token."""
    levels: int
    """Feature vectors of one vision token: 1, and with deepstack those of its layers."""
    stamped: bool
    """Prompts carry textual timestamps."""

    @property
    def parameters(self) -> int:
        return self.trained + self.frozen

    @property
    def key_value_bytes(self) -> int:
        """bf16 keys and values of one token, all layers."""
        return 2 * 2 * self.keys * self.attending


def of_model(towers: Towers) -> Sizes:
    """The sizes of a built model."""
    model, tower, attention = towers.model, towers.vision, _attention(towers.text.layers)
    trained = [p for p in model.parameters() if p.requires_grad]
    text, eyes = _sub(model.config, "text_config"), _sub(model.config, "vision_config")
    layers = int(text.num_hidden_layers)
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * layers
    attending = sum(kind != "linear_attention" for kind in kinds)
    heads = int(text.num_attention_heads)
    head = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    values = value_keys = value_heads = state = 0
    if attending < layers:
        value_heads = int(text.linear_num_value_heads)
        values = value_heads * int(text.linear_value_head_dim)
        value_keys = int(text.linear_num_key_heads) * int(text.linear_key_head_dim)
        state = (layers - attending) * values * int(text.linear_key_head_dim)
    return Sizes(
        trained=sum(p.numel() for p in trained),
        frozen=sum(p.numel() for p in model.parameters() if not p.requires_grad),
        vision=sum(p.numel() for p in tower.parameters()),
        adapter=any("lora_" in name for name, _ in model.named_parameters()),
        hidden=int(text.hidden_size),
        intermediate=int(text.intermediate_size),
        queries=heads * head,
        keys=int(text.num_key_value_heads) * head,
        normed=hasattr(attention, "q_norm"),
        gated=cast("nn.Linear", attention.q_proj).out_features == 2 * heads * head,
        layers=layers,
        attending=attending,
        state=state,
        values=values,
        value_keys=value_keys,
        value_heads=value_heads,
        vocabulary=int(text.vocab_size),
        vision_hidden=int(eyes.hidden_size),
        vision_intermediate=int(eyes.intermediate_size),
        vision_layers=int(eyes.depth),
        vision_gated=str(eyes.hidden_act) == "silu",
        vision_trained=any(p.requires_grad for p in tower.parameters()),
        patches=int(eyes.spatial_merge_size) ** 2,
        levels=1 + len(getattr(eyes, "deepstack_visual_indexes", ())),
        stamped=not hasattr(eyes, "tokens_per_second"),
    )


def _attention(layers: Iterable[nn.Module]) -> nn.Module:
    return next(module for layer in layers for module in layer.modules() if hasattr(module, "q_proj"))


def _sub(config: PreTrainedConfig, name: str) -> PreTrainedConfig:
    return cast("PreTrainedConfig", getattr(config, name))
