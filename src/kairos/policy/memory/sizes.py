"""The numbers of a model that its memory follows from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from torch import nn
from transformers import PreTrainedConfig

from kairos.policy.towers import Towers


@dataclass(frozen=True)
class Sizes:
    """Counts of parameters, and widths per token, layer and patch.

    `trained` and `frozen` are parameters, `adapter` says whether a reference comes for free (adapters off). `queries`
    and `keys` are a layer's heads times their width; `normed` says whether both are brought to norm, `gated` whether
    what attention gives is gated. Of `layers`, `attending` keep keys and values; the others (gated delta nets, of
    `value_heads` with `values` numbers together, and `value_keys` of their keys) a `state`: so many numbers per row in
    all. `levels` are the vision features that one token brings (deepstack: several), `stamped` prompts carry textual
    timestamps.
    """

    trained: int
    frozen: int
    vision: int
    adapter: bool
    hidden: int
    intermediate: int
    queries: int
    keys: int
    normed: bool
    gated: bool
    layers: int
    attending: int
    state: int
    values: int
    value_keys: int
    value_heads: int
    vocabulary: int
    vision_hidden: int
    vision_intermediate: int
    vision_layers: int
    vision_gated: bool
    vision_trained: bool
    patches: int
    levels: int
    stamped: bool

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
