"""The numbers of a model that its memory follows from, known without its weights and without network."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedConfig

from kairos.policy.architecture import Architecture
from kairos.policy.language import LanguagePolicy
from kairos.policy.weights import SHIPPED


@dataclass(frozen=True)
class Sizes:
    """Counts of parameters, and widths per token, layer and patch.

    `trained` and `frozen` are parameters, `adapter` says whether a reference comes for free (adapters off). `queries`
    and `keys` are a layer's heads times their width. Of `layers`, `attending` keep keys and values; the others (gated
    delta nets, of `value_heads` with `values` numbers together) a `state`: so many numbers per row in all. `levels`
    are the vision features that one token brings (deepstack: several), `stamped` prompts carry textual timestamps.
    """

    trained: int
    frozen: int
    vision: int
    adapter: bool
    hidden: int
    intermediate: int
    queries: int
    keys: int
    layers: int
    attending: int
    state: int
    values: int
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


def sizes_of(policy: LanguagePolicy) -> Sizes | None:
    """What `policy.build()` will make, counted on torch's meta device; None where no `Architecture` says its sizes.

    Freezing and adapters are counted as the policy itself applies them.
    """
    if not isinstance(policy.config, Architecture):
        return None
    shadow = _skeleton(policy)
    whole = cast("nn.Module", shadow.model)
    tower = policy.family.vision(cast("torch.nn.Module", whole))  # type: ignore[arg-type]
    trained = [p for p in whole.parameters() if p.requires_grad]
    vision = sum(p.numel() for p in tower.parameters())
    config = policy.config.sizes()
    text, eyes = _sub(config, "text_config"), _sub(config, "vision_config")
    layers = int(text.num_hidden_layers)
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * layers
    attending = sum(kind != "linear_attention" for kind in kinds)
    heads = int(text.num_attention_heads)
    head = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    values = value_heads = state = 0
    if attending < layers:
        value_heads = int(text.linear_num_value_heads)
        values = value_heads * int(text.linear_value_head_dim)
        state = (layers - attending) * values * int(text.linear_key_head_dim)
    return Sizes(
        trained=sum(p.numel() for p in trained),
        frozen=sum(p.numel() for p in whole.parameters() if not p.requires_grad),
        vision=vision,
        adapter=any("lora_" in name for name, _ in whole.named_parameters()),
        hidden=int(text.hidden_size),
        intermediate=int(text.intermediate_size),
        queries=heads * head,
        keys=int(text.num_key_value_heads) * head,
        layers=layers,
        attending=attending,
        state=state,
        values=values,
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


def _skeleton(policy: LanguagePolicy) -> LanguagePolicy:
    """The same policy without weights, on the meta device; a small tokenizer stands in for its own."""
    shadow = copy.copy(policy)
    shadow._modules = {}
    shadow.model = None
    shadow.weights = None
    shadow.processor = replace(policy.processor, tokenizer=SHIPPED)
    with torch.device("meta"):
        shadow.build()
    return shadow


def _sub(config: PreTrainedConfig, name: str) -> PreTrainedConfig:
    return cast("PreTrainedConfig", getattr(config, name))
