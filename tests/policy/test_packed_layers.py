"""Layers with our forward passes: zeros that fill up a width change nothing; without a context a layer is theirs."""

from __future__ import annotations

import torch
from tiny_language import policy
from torch import nn
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP

from kairos.policy.layers import GatedMLP, PackedAttention, fuse_layers


def test_an_mlp_filled_up_with_zeros_is_the_same_in_values_and_gradients() -> None:
    torch.manual_seed(0)
    whole = nn.ModuleList([Qwen2MLP(Qwen2Config(hidden_size=16, intermediate_size=21, hidden_act="silu"))])
    theirs, x = Qwen2MLP.forward, torch.randn(5, 16, requires_grad=True)
    fuse_layers(whole)
    mlp = whole[0]
    assert isinstance(mlp, GatedMLP) and isinstance(mlp, Qwen2MLP)
    found = []
    for forward in (lambda x: mlp.filled(x, 3), mlp, lambda x: theirs(mlp, x)):
        out = forward(x)
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, *mlp.parameters()])])
    for filled, ours, original in zip(*found, strict=True):
        torch.testing.assert_close(filled, original)
        torch.testing.assert_close(ours, original)


def test_an_mlp_with_another_activation_is_left_alone() -> None:
    whole = nn.ModuleList([Qwen2MLP(Qwen2Config(hidden_size=8, intermediate_size=8, hidden_act="gelu"))])
    fuse_layers(whole)
    assert type(whole[0]) is Qwen2MLP


def test_without_a_context_an_attention_is_transformers_own(folder: str) -> None:
    attention = policy(folder).model.model.language_model.layers[0].self_attn
    assert isinstance(attention, PackedAttention)
    theirs = type(attention).__mro__[2]
    x = torch.randn(1, 4, attention.config.hidden_size)
    angles = torch.randn(1, 4, attention.head_dim)
    given = {"hidden_states": x, "position_embeddings": (angles.cos(), angles.sin()), "attention_mask": None}
    torch.testing.assert_close(attention(**given)[0], theirs.forward(attention, **given)[0])
