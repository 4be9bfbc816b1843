"""Estimates the activations that layers keep for the backward pass, in bytes per token and per patch.

The formulas count the tensors that autograd saves in our layers, under bf16 autocast with an fp32 residual stream.
Tests compare them with the saved tensors of small models, in plain torch and on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from kairos.policy.memory.sizes import Sizes


@dataclass(frozen=True)
class Pass:
    """One micro-batch in the forward and backward pass."""

    tokens: int
    """Tokens through the text layers."""
    patches: int
    """Patches through the vision tower."""
    recompute: str
    """none, selective or full."""
    gpu: bool
    """Compute is bf16."""
    fused: bool
    """Elementwise operators run as fused kernels."""
    sharded: bool
    """Weights are sharded by fsdp2."""
    accumulating: bool
    """Products add to `weight.grad` themselves (`weight_gradients.accumulating`)."""


def text_activations(sizes: Sizes, given: Pass) -> float:
    """Bytes that the text layers keep for the backward pass, including one whole layer while it is recomputed."""
    attending, recurrent = _layer_bytes(sizes, given), _recurrent_bytes(sizes, given) if sizes.values else 0.0
    layers = sizes.attention_layers * attending + (sizes.layers - sizes.attention_layers) * recurrent
    kept = {
        "none": layers,
        "selective": layers - (sizes.layers - 1) * _mlp_bytes(sizes, given),
        "full": 4 * sizes.hidden * sizes.layers + max(attending, recurrent),
    }
    return given.tokens * kept[given.recompute]


def vision_activations(sizes: Sizes, given: Pass) -> float:
    """Bytes that a trained vision tower keeps for the backward pass; 0 for a frozen one."""
    block = _vision_layer_bytes(sizes, given)
    kept = {
        "none": block * sizes.vision_layers,
        "selective": block * sizes.vision_layers - (sizes.vision_layers - 1) * _vision_mlp_bytes(sizes, given),
        "full": (2 if given.gpu else 4) * sizes.vision_hidden * sizes.vision_layers + block,
    }
    return given.patches * kept[given.recompute] if sizes.vision_trained else 0.0


def layer_gradient(sizes: Sizes, given: Pass) -> float:
    """Bytes of one text layer's fp32 gradient, where autograd adds it to an existing one (second micro-batch on).

    0 where products accumulate into `weight.grad`, which compiled layers do not.
    """
    inner = sizes.hidden * (2 * sizes.queries + 2 * sizes.keys + 3 * sizes.intermediate)
    return 4 * inner if _joint(sizes, given) and not (given.accumulating and given.fused) else 0.0


def _layer_bytes(sizes: Sizes, given: Pass) -> float:
    """Bytes that one attention layer keeps of a token.

    With fused kernels in bf16 these are: each norm's fp32 input and its output; queries, keys, values and the output of
    attention; with query and key norms, the joint projection that they read; with a gate, its sigmoid and its product.
    """
    inside = _mlp_bytes(sizes, given)
    if given.fused:
        projected = 2 * ((1 + sizes.gated) * sizes.queries + 2 * sizes.keys) if sizes.normed else 0
        return 12 * sizes.hidden + inside + (4 + 4 * sizes.gated) * sizes.queries + 4 * sizes.keys + projected
    if given.gpu:
        return 14 * sizes.hidden + inside + 26 * sizes.queries + 14 * sizes.keys
    return 16 * sizes.hidden + inside + 43 * sizes.queries + 15 * sizes.keys


def _mlp_bytes(sizes: Sizes, given: Pass) -> float:
    """Bytes that a text layer's MLP keeps of a token."""
    return _bytes_per_mlp_unit(sizes, given) * sizes.intermediate


def _joint(sizes: Sizes, given: Pass) -> bool:
    """Whether a gated MLP is one operator (`joint_mlp`)."""
    return given.gpu and not given.sharded and not sizes.adapter


def _bytes_per_mlp_unit(sizes: Sizes, given: Pass) -> int:
    """Bytes for each number of a gated MLP's inner width: the outputs of gate and up; where it is not one operator,
    also their product; where it is not fused, also silu(gate)."""
    times = 2 if _joint(sizes, given) else 3 if given.fused else 4
    return times * (2 if given.gpu else 4)


def _recurrent_bytes(sizes: Sizes, given: Pass) -> float:
    """Bytes that one gated delta net layer keeps of a token: projections, convolution, outputs of the rule, norms."""
    inside = _mlp_bytes(sizes, given)
    if given.fused:
        return 12 * sizes.hidden + 8 * sizes.value_keys + 10 * sizes.values + 18 * sizes.value_heads + inside
    if given.gpu:
        return 20 * sizes.hidden + 18 * sizes.values + 11 * sizes.value_heads + inside
    return 24 * sizes.hidden + 36 * sizes.values + 13 * sizes.value_heads + inside


def _vision_layer_bytes(sizes: Sizes, given: Pass) -> float:
    """Bytes that one block of a trained vision tower keeps of a patch."""
    return 22 * sizes.vision_hidden * (1 if given.gpu else 2) + _vision_mlp_bytes(sizes, given)


def _vision_mlp_bytes(sizes: Sizes, given: Pass) -> float:
    """Bytes that a vision block's MLP keeps of a patch."""
    bytes = _bytes_per_mlp_unit(sizes, given) if sizes.vision_gated else 4 * (1 if given.gpu else 2)
    return bytes * sizes.vision_intermediate
