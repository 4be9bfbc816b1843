"""The sizes of a model that determine its memory: numbers of parameters and widths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import cast

from torch import nn
from transformers import PreTrainedConfig

from kairos.policy.network.towers import Towers


@dataclass(frozen=True)
class Sizes:
    """A model's numbers of parameters, and its widths (numbers per token or patch)."""

    trained: int
    """Parameters that are trained."""
    frozen: int
    """Parameters that are not trained."""
    vision: int
    """Parameters of the vision tower, trained or not; part of the two above."""
    adapter: bool
    """Training goes through an adapter; with it off, the model is its own reference and needs no copy."""
    hidden: int
    """Width of the text tower."""
    intermediate: int
    """Inner width of a text layer's MLP."""
    queries: int
    """Query heads times their width, in one attention layer."""
    keys: int
    """Key heads times their width, in one attention layer; values have as many numbers."""
    normed: bool
    """Queries and keys are normalised."""
    gated: bool
    """The output of attention is multiplied by a gate."""
    layers: int
    """Text layers: those with attention and those with a gated delta net."""
    attention_layers: int
    """Text layers with attention, which cache keys and values."""
    state: int
    """Numbers in the delta nets' states of one row, all layers together; 0, like the next three, without delta nets."""
    values: int
    """Value heads times their width, in one delta net."""
    value_keys: int
    """Key heads times their width, in one delta net."""
    value_heads: int
    """Value heads of one delta net."""
    vocabulary: int
    """Tokens of the head."""
    vision_hidden: int
    """Width of the vision tower."""
    vision_intermediate: int
    """Inner width of a vision block's MLP."""
    vision_layers: int
    """Blocks of the vision tower."""
    vision_gated: bool
    """The vision tower's MLPs are gated."""
    vision_trained: bool
    """Some parameter of the vision tower is trained."""
    patches: int
    """Patches that are merged into one vision token."""
    levels: int
    """Feature vectors of one vision token: 1, plus one for each deepstack block."""
    stamped: bool
    """Prompts carry textual timestamps."""

    @property
    def parameters(self) -> int:
        return self.trained + self.frozen

    @property
    def key_value_bytes(self) -> int:
        """bf16 keys and values of one token, all layers."""
        return 2 * 2 * self.keys * self.attention_layers


def of_parameters(module: nn.Module) -> Sizes:
    """The sizes of a policy that is no language model: its parameters. What it computes counts as nothing."""
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    none = {field.name: 0 for field in fields(Sizes) if field.type == "int"}
    flags = {field.name: False for field in fields(Sizes) if field.type == "bool"}
    frozen = sum(p.numel() for p in module.parameters()) - trained
    return replace(Sizes(**none, **flags), trained=trained, frozen=frozen)


def of_model(towers: Towers) -> Sizes:
    """The sizes of a built model."""
    model, tower, attention = towers.model, towers.vision, _attention(towers.text.layers)
    trained = [p for p in model.parameters() if p.requires_grad]
    text, eyes = _sub(model.config, "text_config"), _sub(model.config, "vision_config")
    layers = int(text.num_hidden_layers)
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * layers
    attention_layers = sum(kind != "linear_attention" for kind in kinds)
    heads = int(text.num_attention_heads)
    head = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    values = value_keys = value_heads = state = 0
    if attention_layers < layers:
        value_heads = int(text.linear_num_value_heads)
        values = value_heads * int(text.linear_value_head_dim)
        value_keys = int(text.linear_num_key_heads) * int(text.linear_key_head_dim)
        state = (layers - attention_layers) * values * int(text.linear_key_head_dim)
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
        attention_layers=attention_layers,
        state=state,
        values=values,
        value_keys=value_keys,
        value_heads=value_heads,
        vocabulary=int(text.vocab_size),
        vision_hidden=int(eyes.hidden_size),
        vision_intermediate=int(eyes.intermediate_size),
        vision_layers=int(getattr(eyes, "depth", None) or eyes.num_hidden_layers),
        vision_gated=str(eyes.hidden_act) == "silu",
        vision_trained=any(p.requires_grad for p in tower.parameters()),
        patches=int(getattr(eyes, "spatial_merge_size", 2)) ** 2,  # SigLIP's patches are pooled two by two
        levels=1 + len(getattr(eyes, "deepstack_visual_indexes", ())),
        stamped=not hasattr(eyes, "tokens_per_second"),
    )


def _attention(layers: Iterable[nn.Module]) -> nn.Module:
    return next(module for layer in layers for module in layer.modules() if hasattr(module, "q_proj"))


def _sub(config: PreTrainedConfig, name: str) -> PreTrainedConfig:
    return cast("PreTrainedConfig", getattr(config, name))
