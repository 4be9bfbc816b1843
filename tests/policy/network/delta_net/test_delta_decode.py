"""One token more of a gated delta net agrees with plain torch: on a GPU where there is one, else interpreted."""

from __future__ import annotations

import pytest
import torch
from helpers.interpreting import interpret, needs_kernels
from torch import Tensor
from transformers import Qwen3_5TextConfig

from kairos.policy.network.attention.gathered_sdpa import Gathered
from kairos.policy.network.delta_net.decode import convolve_one, convolve_one_plain, one_token, one_token_plain
from kairos.policy.network.delta_net.step import DeltaState, DeltaStep
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.network.segments import Segments
from kairos.policy.network.text.delta_layer import GatedDeltaNet
from kairos.policy.scoring.shared_prefix import Scoring

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
KINDS = [torch.float32, *([torch.bfloat16] if torch.cuda.is_available() else [])]


def test_the_kernels_as_triton_interprets_them() -> None:
    interpret(__file__)


def drawn(*shape: int, kind: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, kind)


def close(ours: Tensor, theirs: Tensor, share: float) -> None:
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    difference = ((ours.float() - theirs.float()).norm() / theirs.float().norm()).item()
    assert difference <= share, difference


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "reach"), [(700, 4), (512, 2), (9, 1)])
def test_a_convolution_moves_on_by_one(width: int, reach: int, kind: torch.dtype) -> None:
    mixed, weight = drawn(3, 2, width, kind=kind), drawn(width, reach, seed=1)
    recent = drawn(3, reach - 1, width, kind=kind, seed=2)
    ours, theirs = recent.clone(), recent.clone()
    assert uses_triton(recent)
    for step in range(2):
        fast, plain = convolve_one(mixed[:, step], ours, weight), convolve_one_plain(mixed[:, step], theirs, weight)
        close(fast, plain, 1e-6 if kind == torch.float32 else 4e-3)
        assert torch.equal(ours, theirs)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("key_heads", "heads", "keys", "values"), [(2, 6, 16, 40), (1, 1, 12, 8), (2, 2, 128, 128)])
def test_a_state_takes_one_token_more(key_heads: int, heads: int, keys: int, values: int, kind: torch.dtype) -> None:
    """Queries, keys and values as a layer gives them: side by side in one row."""
    rows, sizes = 3, [key_heads * keys, key_heads * keys, heads * values]
    mixed = drawn(rows, sum(sizes), kind=kind).split(sizes, dim=1)
    q, k, v = (x.unflatten(1, (-1, width)) for x, width in zip(mixed, (keys, keys, values), strict=True))
    decay, beta = -drawn(rows, heads, seed=1).exp(), drawn(rows, heads, kind=kind, seed=2).sigmoid()
    state = drawn(rows, heads, keys, values, seed=3)
    ours, theirs = state.clone(), state.clone()
    assert uses_triton(state)
    for _ in range(2):
        close(one_token(q, k, v, decay, beta, ours), one_token_plain(q, k, v, decay, beta, theirs), 1e-5)
        close(ours, theirs, 1e-5)
    assert not torch.allclose(ours, state)


@needs_kernels
def test_queries_of_any_layout() -> None:
    q, k, v = (drawn(2, width, 3, seed=width).transpose(1, 2) for width in (8, 8, 4))
    decay, beta, state = drawn(3, 2).T, drawn(3, 2).T, drawn(2, 3, 8, 4)
    other = state.clone()
    close(one_token(q, k, v, decay, beta, state), one_token_plain(q, k, v, decay, beta, other), 1e-5)
    close(state, other, 1e-5)


@needs_kernels
def test_a_layer_computes_what_transformers_own_does_in_values_and_gradients() -> None:
    """Its gated norm is two kernels too; then two tokens, one after the other."""
    config = Qwen3_5TextConfig(
        hidden_size=24, num_hidden_layers=1, layer_types=["linear_attention"], linear_key_head_dim=16,
        linear_value_head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4,
    )  # fmt: skip
    torch.manual_seed(0)
    net = GatedDeltaNet(config, 0)
    with torch.no_grad():
        net.A_log.copy_(torch.linspace(-6, -2, 4))  # states that fade slowly
    net.to(DEVICE)
    hidden = drawn(7, 24)
    results = []
    for context in ({"context": Scoring(Segments((7,)), Gathered().plan(Segments((7,)), DEVICE))}, {}):
        net.zero_grad()
        given = hidden.clone().requires_grad_()
        output = net(given[None], **context)[0]
        (output * drawn(7, 24, seed=1)).sum().backward()
        results.append([output.detach(), given.grad, *(p.grad.clone() for p in net.parameters())])
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs, 2e-5)
    memory = Remembering()
    with torch.no_grad():
        net(hidden[None, :5], context=memory)
        later = torch.cat([net(hidden[None, t : t + 1], context=memory)[0] for t in (5, 6)])
    close(later, results[0][0][5:], 2e-5)


class Remembering:
    """The context of one sequence: a prompt, then single tokens."""

    state: DeltaState | None = None

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        if self.state is not None:
            return step.decode(self.state)
        output, self.state = step.prompts((len(step.mixed_ND),))
        return output
