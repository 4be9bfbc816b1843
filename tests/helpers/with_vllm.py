"""Tiny families with the widths that vLLM's kernels take on a CPU, and engines for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from helpers.tiny_hybrid import HYBRID
from helpers.tiny_language import FAMILIES, TINY, WINDOWED, Tiny

from kairos.policy.models.architecture import Architecture
from kairos.rollout.vllm.engine import VLLM

TOLERANCE = {"qwen2_5_vl": 1e-5, "qwen3_vl": 1e-5, "qwen3_5": 0.05}
"""Nats a token, on average: fp32; Qwen3.5's recurrent layers in bf16, since vLLM's kernel for a CPU takes no other."""


def _wider(architecture: Architecture, **text: object) -> Architecture:
    return replace(architecture, text={**architecture.text, **text})


SERVED: Mapping[str, Tiny] = {
    "qwen3_vl": replace(FAMILIES["qwen3_vl"], config=replace(TINY, sections=(8, 4, 4))),
    "qwen2_5_vl": replace(
        FAMILIES["qwen2_5_vl"],
        config=replace(
            _wider(
                WINDOWED, hidden_size=128,
                rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 4, 4]},
            ),
            vision={**WINDOWED.vision, "out_hidden_size": 128},
        ),
    ),
    "qwen3_5": replace(FAMILIES["qwen3_5"], config=_wider(HYBRID, linear_key_head_dim=32, linear_value_head_dim=32)),
}  # fmt: skip


def engine_for(family: str, tolerance: float | None = None) -> VLLM:
    made = VLLM(
        context=1024, kv_cache_gib=0.25, rows=32, tolerance=TOLERANCE[family] if tolerance is None else tolerance,
        dtype="bfloat16" if family == "qwen3_5" else None,
    )  # fmt: skip
    made.setup(torch.device("cpu"))
    return made
