"""Bytes that the layers keep for the backward pass, per token and per patch.

They follow what autograd keeps of our own layers under bf16 autocast with an fp32 residual stream. Tests count the
saved tensors of small models, in plain torch and on a GPU, and compare.
"""

from __future__ import annotations

from dataclasses import dataclass

from kairos.policy.memory.sizes import Sizes


@dataclass(frozen=True)
class Pass:
    """One micro-batch on its way through the layers: `patches` go through the vision tower, `tokens` through the text
    layers. On a GPU they are bf16. `fused` and `accumulating` are those of the `Workload`; `sharded`: by fsdp2."""

    tokens: int
    patches: int
    recompute: str
    gpu: bool
    fused: bool
    sharded: bool
    accumulating: bool


def text_activations(sizes: Sizes, given: Pass) -> float:
    """Bytes that the text layers keep for the backward pass, with one layer whole while it is computed again."""
    attending, recurrent = _layer_bytes(sizes, given), _recurrent_bytes(sizes, given) if sizes.values else 0.0
    layers = sizes.attending * attending + (sizes.layers - sizes.attending) * recurrent
    kept = {
        "none": layers,
        "selective": layers - (sizes.layers - 1) * _inside_bytes(sizes, given),
        "full": 4 * sizes.hidden * sizes.layers + max(attending, recurrent),
    }
    return given.tokens * kept[given.recompute]


def vision_activations(sizes: Sizes, given: Pass) -> float:
    """The same of a vision tower that is trained; 0 of a frozen one."""
    block = _vision_layer_bytes(sizes, given)
    kept = {
        "none": block * sizes.vision_layers,
        "selective": block * sizes.vision_layers - (sizes.vision_layers - 1) * _vision_inside_bytes(sizes, given),
        "full": (2 if given.gpu else 4) * sizes.vision_hidden * sizes.vision_layers + block,
    }
    return given.patches * kept[given.recompute] if sizes.vision_trained else 0.0


def layer_gradient(sizes: Sizes, given: Pass) -> float:
    """Of one text layer, fp32, where it is written beside those that it is added to: from the second micro-batch on.

    Compiled layers leave theirs to autograd.
    """
    inner = sizes.hidden * (2 * sizes.queries + 2 * sizes.keys + 3 * sizes.intermediate)
    return 4 * inner if _joint(sizes, given) and not (given.accumulating and given.fused) else 0.0


def _layer_bytes(sizes: Sizes, given: Pass) -> float:
    """What one text layer keeps of a token for the backward pass.

    Fused in bf16: of each norm the fp32 stream and what it gives; queries, keys, values and the output as attention
    reads and writes them. Norms of queries and keys hold what they were made of, all that was projected at once; a
    gate its sigmoid and its product.
    """
    inside = _inside_bytes(sizes, given)
    if given.fused:
        projected = 2 * ((1 + sizes.gated) * sizes.queries + 2 * sizes.keys) if sizes.normed else 0
        return 12 * sizes.hidden + inside + (4 + 4 * sizes.gated) * sizes.queries + 4 * sizes.keys + projected
    if given.gpu:
        return 14 * sizes.hidden + inside + 26 * sizes.queries + 14 * sizes.keys
    return 16 * sizes.hidden + inside + 43 * sizes.queries + 15 * sizes.keys


def _inside_bytes(sizes: Sizes, given: Pass) -> float:
    """The part of it that lies inside the MLP."""
    return _gated_bytes(sizes, given) * sizes.intermediate


def _joint(sizes: Sizes, given: Pass) -> bool:
    """Whether gated MLPs are one operator."""
    return given.gpu and not given.sharded and not sizes.adapter


def _gated_bytes(sizes: Sizes, given: Pass) -> int:
    """Of what gate and up give; where the layers are not `joint_mlp`, also of the product and, not fused, of
    silu(gate)."""
    times = 2 if _joint(sizes, given) else 3 if given.fused else 4
    return times * (2 if given.gpu else 4)


def _recurrent_bytes(sizes: Sizes, given: Pass) -> float:
    """The same of a layer with a gated delta net: what is projected, convolved, read from the state, and normed."""
    inside = _inside_bytes(sizes, given)
    if given.fused:
        return 12 * sizes.hidden + 8 * sizes.value_keys + 10 * sizes.values + 18 * sizes.value_heads + inside
    if given.gpu:
        return 20 * sizes.hidden + 18 * sizes.values + 11 * sizes.value_heads + inside
    return 24 * sizes.hidden + 36 * sizes.values + 13 * sizes.value_heads + inside


def _vision_layer_bytes(sizes: Sizes, given: Pass) -> float:
    """What one block of a trained tower keeps of a patch."""
    return 22 * sizes.vision_hidden * (1 if given.gpu else 2) + _vision_inside_bytes(sizes, given)


def _vision_inside_bytes(sizes: Sizes, given: Pass) -> float:
    """The part of it that lies inside the MLP."""
    bytes = _gated_bytes(sizes, given) if sizes.vision_gated else 4 * (1 if given.gpu else 2)
    return bytes * sizes.vision_intermediate
