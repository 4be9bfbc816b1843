"""Every family as an `Architecture` small enough for tests, its vocabulary larger than the shipped tokenizer's."""

from __future__ import annotations

from kairos.policy.families.llava_onevision import LlavaOnevision
from kairos.policy.families.qwen2_5_vl import Qwen25VL
from kairos.policy.families.qwen3_5 import Qwen35
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.family import Family
from kairos.policy.models.architecture import Architecture

TEXT: dict[str, object] = {
    "vocab_size": 2048, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 8192,
}  # fmt: skip
VISION: dict[str, object] = {
    "depth": 2, "hidden_size": 32, "num_heads": 2, "out_hidden_size": 64, "temporal_patch_size": 2,
    "spatial_merge_size": 2,
}  # fmt: skip
ROTARY = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}

QWEN2_5 = Architecture(
    "qwen2_5_vl",
    {**TEXT, "rope_parameters": ROTARY},
    {
        **VISION, "intermediate_size": 80, "patch_size": 14, "tokens_per_second": 2, "window_size": 56,
        "fullatt_block_indexes": [1],
    },
)  # fmt: skip
QWEN3 = Architecture(
    "qwen3_vl",
    {**TEXT, "head_dim": 16, "rope_parameters": {**ROTARY, "mrope_interleaved": True}},
    {
        **VISION, "intermediate_size": 128, "patch_size": 16, "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    },
    tied=True,
)  # fmt: skip
QWEN3_5 = Architecture(
    "qwen3_5",
    {
        **TEXT, "head_dim": 16, "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 16,
        "linear_num_key_heads": 2, "linear_value_head_dim": 16, "linear_num_value_heads": 4,
        "rope_parameters": {
            "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5, "rope_type": "default",
            "mrope_interleaved": True,
        },
    },
    {**VISION, "intermediate_size": 128, "patch_size": 16, "num_position_embeddings": 64},
    tied=True,
)  # fmt: skip

LLAVA = Architecture(
    "llava_onevision",
    {**TEXT, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    {
        "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 14, "vision_use_head": False,
    },
    tokens={"image_token_id": 2046, "video_token_id": 2047},
)  # fmt: skip

FAMILIES: dict[str, tuple[Family, Architecture, int]] = {
    "qwen2_5_vl": (Qwen25VL(), QWEN2_5, 28),
    "qwen3_vl": (Qwen3VL(), QWEN3, 32),
    "qwen3_5": (Qwen35(), QWEN3_5, 32),
    "llava_onevision": (LlavaOnevision(side=28, video_token=2047), LLAVA, 28),
}
"""Family, architecture, and the side of one video token in pixels; LLaVA makes 2 tokens of any frame, a newline one."""
