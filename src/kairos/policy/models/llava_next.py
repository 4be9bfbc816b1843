"""Loads checkpoints in the layout of the LLaVA-NeXT repository, such as the published LLaVA-Video models.

Their config.json is that of the text model, with `mm_` keys beside. Their SigLIP tower lacks its last layer, whose
input is what the projector reads (`mm_vision_select_layer: -2`), and its head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import torch
from transformers import LlavaOnevisionConfig, PreTrainedModel

Model = TypeVar("Model", bound=PreTrainedModel)

MODEL_TYPES = frozenset({"llava_qwen", "llava_qwen2"})
"""The `model_type` of such a checkpoint with a Qwen2 text model."""
RENAMED = {
    r"^model\.vision_tower\.vision_tower\.vision_model\.": "model.vision_tower.",
    r"^model\.mm_projector\.0\.": "model.multi_modal_projector.linear_1.",
    r"^model\.mm_projector\.2\.": "model.multi_modal_projector.linear_2.",
    r"^model\.(layers|norm|embed_tokens)\.": r"model.language_model.\1.",
}
"""Patterns of the published names, and the names in transformers' class. All others are the same."""
_EXPECTED = {
    "mm_projector_type": "mlp2x_gelu",
    "mm_spatial_pool_mode": "bilinear",
    "mm_spatial_pool_stride": 2,
    "mm_vision_select_layer": -2,
    "rope_scaling": None,
    "use_sliding_window": False,
    "add_faster_video": False,
}
_TEXT = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "bos_token_id",
    "eos_token_id",
)  # fmt: skip


def config_of(facts: Mapping[str, object], siglip: Mapping[str, object]) -> LlavaOnevisionConfig:
    """The configuration of transformers' class. `facts` is the published config.json, `siglip` the sizes of the vision
    tower, which it does not state.

    ValueError where the checkpoint is of a kind that `LlavaOnevision` does not compute.
    """
    for key, value in _EXPECTED.items():
        if key in facts and facts[key] != value:
            raise ValueError(f"config.json says {key}: {facts[key]!r}; the family llava_onevision computes {value!r}")
    text = {key: facts[key] for key in _TEXT if key in facts}
    rotary = {"rope_type": "default", "rope_theta": facts.get("rope_theta", 1_000_000.0)}
    return LlavaOnevisionConfig(
        text_config={**text, "model_type": "qwen2", "rope_parameters": rotary},
        vision_config={**siglip, "model_type": "siglip_vision_model"},
        tie_word_embeddings=cast("bool", facts.get("tie_word_embeddings", False)),
    )


def load_published(kind: type[Model], weights: str, config: LlavaOnevisionConfig) -> Model:
    """The fp32 weights of a folder or id as transformers' class. ValueError when names are missing or left over."""
    load = cast("Callable[..., tuple[Model, dict[str, set[str]]]]", kind.from_pretrained)
    model, report = load(
        weights, config=config, key_mapping=RENAMED, dtype=torch.float32, use_safetensors=True,
        output_loading_info=True,
    )  # fmt: skip
    wrong = {name: sorted(report[name]) for name in ("missing_keys", "unexpected_keys") if report[name]}
    if wrong:
        listed = "; ".join(f"{name.replace('_', ' ')}: {', '.join(keys[:5])}" for name, keys in wrong.items())
        raise ValueError(
            f"{weights} does not hold the tensors of a LLaVA-Video model of its config.json's sizes: {listed}"
        )
    return model
