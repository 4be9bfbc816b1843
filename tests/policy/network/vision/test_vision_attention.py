"""The towers' attention against transformers' own, which takes segments as cumulative lengths."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLVisionAttention
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionAttention

from kairos.policy.models.fusing import fuse_layers
from kairos.policy.network.attention.within_segments import Stretch
from kairos.policy.network.vision.attention import WithinSegments

SIZES = {"hidden_size": 24, "num_heads": 3, "attn_implementation": "sdpa"}
TOWERS = {
    "Qwen2.5-VL": lambda: Qwen2_5_VLVisionAttention(Qwen2_5_VLVisionConfig(**SIZES)),
    "Qwen3-VL": lambda: Qwen3VLVisionAttention(Qwen3VLVisionConfig(**SIZES)),
}
CASES = {
    "frames": [Stretch(3, ((1, 8),))],
    "windows of two sizes": [Stretch(2, ((3, 4), (2, 2)))],
    "clips of two sizes": [Stretch(2, ((1, 6),)), Stretch(1, ((2, 4), (1, 1)))],
}


@pytest.mark.parametrize("stretches", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS.keys())
def test_values_and_gradients_are_transformers_own(tower, stretches: list[Stretch]) -> None:
    torch.manual_seed(0)
    whole = nn.ModuleList([tower()])
    theirs = type(whole[0]).forward
    fuse_layers(whole)
    ours = whole[0]
    lengths = [n for repeats, parts in stretches for count, n in parts * repeats for _ in range(count)]
    assert isinstance(ours, WithinSegments)
    cuts = torch.tensor([0, *lengths]).cumsum(0).int()
    x = torch.randn(sum(lengths), 24, requires_grad=True)
    angles = torch.randn(sum(lengths), 8)
    rotary = angles.cos(), angles.sin()
    found = []
    for out in (
        ours(x, None, position_embeddings=rotary, segments=stretches),
        theirs(ours, x, cuts, position_embeddings=rotary),
        ours(x, cuts, position_embeddings=rotary),
    ):
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, *ours.parameters()])])
    for mine, original, without in zip(*found, strict=True):
        torch.testing.assert_close(mine, original)
        torch.testing.assert_close(without, original)
