"""A random Qwen3.5 small enough for tests: attention in every second layer, gated delta nets that forget slowly."""

from __future__ import annotations

import torch

from kairos.policy.families.qwen3_5 import Qwen35
from kairos.policy.language import CompletionScorer, LanguagePolicy
from kairos.policy.models.architecture import Architecture
from kairos.policy.network.text.delta_layer import GatedDeltaNet
from kairos.policy.processor import LanguageProcessor

HYBRID = Architecture(
    kind="qwen3_5",
    tied=True,
    text={
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
        "full_attention_interval": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
        "linear_key_head_dim": 16, "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25, "mrope_section": [2, 1, 1],
        },
    },
    vision={
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
        "num_position_embeddings": 64,
    },
)  # fmt: skip


def hybrid(folder: str, scorer: CompletionScorer | None = None, freeze: tuple[str, ...] = ()) -> LanguagePolicy:
    """Weights larger than usual initial ones, so that every part affects the result."""
    processor = LanguageProcessor(folder, family=Qwen35())
    built = LanguagePolicy(processor, config=HYBRID, scorer=scorer, freeze=freeze, seed=3)
    built.build()
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3.0)
    forget_slowly(built)
    return built


@torch.no_grad()
def forget_slowly(built: LanguagePolicy) -> None:
    """Let states decay by 0.7 % to 60 % a token, so that distant tokens affect the result."""
    for module in built.modules():
        if isinstance(module, GatedDeltaNet):
            module.A_log.copy_(torch.linspace(-5, -0.5, len(module.A_log)))
