"""Gated delta nets on a GPU: flash-linear-attention's kernels and the layer around them against plain torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_hybrid import hybrid
from helpers.tiny_language import batch, prompts, tokenizer_folder
from torch import Tensor
from transformers import Qwen3_5TextConfig

from kairos.core.types import Sampling
from kairos.policy.network.attention.gathered_sdpa import Gathered
from kairos.policy.network.delta_net.backends import FlashLinear, Kernels, Tokens, Torch
from kairos.policy.network.kernels.dispatch import Machine, fla_refuses, has_package
from kairos.policy.network.segments import Segments
from kairos.policy.network.text.delta_layer import GatedDeltaNet
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import Scoring

pytestmark = pytest.mark.gpu

REFUSED = fla_refuses(Machine.of(torch.device("cuda")))
needs_fla = pytest.mark.skipif(
    not has_package("fla") or REFUSED is not None, reason=REFUSED or "needs flash-linear-attention: the extra `fla`"
)


def close(ours: Tensor, theirs: Tensor, share: float) -> None:
    difference = float((ours.float() - theirs.float()).norm() / theirs.float().norm())
    assert difference <= share, difference


@needs_fla
@pytest.mark.parametrize("given", [True, False], ids=["from a state", "from nothing"])
def test_the_kernels_scan_as_torch_does_in_values_and_gradients(given: bool) -> None:
    """bf16 in, fp32 states; lengths around a chunk, and fewer key heads than value heads."""
    lengths, heads, key_heads, width = (130, 64, 3, 1, 65), 4, 2, 64
    generator = torch.Generator("cuda").manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, device="cuda", generator=generator)

    total = sum(lengths)
    q, k = (random(total, key_heads, width).bfloat16() for _ in range(2))
    v, beta = random(total, heads, width).bfloat16(), random(total, heads).sigmoid().bfloat16()
    state = random(len(lengths), heads, width, width) if given else None
    inputs = [q, k, v, -random(total, heads).exp() * 0.1, beta]
    weights, state_weights = random(total, heads, width), random(len(lengths), heads, width, width)

    def run(kernels: Kernels) -> list[Tensor]:
        leaves = [x.clone().requires_grad_() for x in inputs]
        start = None if state is None else state.clone().requires_grad_()
        output, end = kernels.scan(Tokens(*leaves), lengths, start)
        ((output * weights).sum() + (end * state_weights).sum()).backward()
        grads = [x.grad for x in [*leaves, *([] if start is None else [start])]]
        assert output.dtype == torch.bfloat16 and end.dtype == torch.float32
        return [output.detach(), end.detach(), *grads]

    for ours, theirs in zip(run(FlashLinear()), run(Torch()), strict=True):
        close(ours, theirs, 0.05)


@pytest.mark.parametrize("kernels", [None, pytest.param(FlashLinear, marks=needs_fla), Torch])
def test_a_layer_under_autocast_is_the_layer_in_fp32(kernels: type[Torch | FlashLinear] | None) -> None:
    config = Qwen3_5TextConfig(
        hidden_size=256, num_hidden_layers=1, layer_types=["linear_attention"], linear_key_head_dim=64,
        linear_value_head_dim=64, linear_num_key_heads=2, linear_num_value_heads=4,
    )  # fmt: skip
    net = GatedDeltaNet(config, 0)
    segments = Segments((130, 2, 70), (3, 70, 1, 5), (0, 0, 1, 2))
    hidden, weights = torch.randn(len(segments), 256), torch.randn(len(segments), 256)

    def run(device: str) -> list[Tensor]:
        net.to(device).zero_grad()
        given = hidden.to(device, copy=True).requires_grad_()
        context = Scoring(segments, Gathered().plan(segments, torch.device(device)))
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            output = net(given[None], context=context)[0]
        (output * weights.to(device)).sum().backward()
        return [x.detach().cpu().clone() for x in (output, given.grad, *(p.grad for p in net.parameters()))]

    net.kernels = Torch()
    expected = run("cpu")
    net.kernels = None if kernels is None else kernels()
    for ours, theirs in zip(run("cuda"), expected, strict=True):
        close(ours, theirs, 0.1)


def test_scores_agree_with_the_cpu_and_with_the_twin(tmp_path: Path) -> None:
    language = hybrid(tokenizer_folder(tmp_path), freeze=("vision",))
    rollouts = batch(prompts(), [2, 0, 1, 0, 0, 2], [5, 1, 9, 3, 70, 4], len(language.processor.loaded))
    expected = language(rollouts).logprobs_BA.detach()
    language.cuda()
    stats = language(rollouts)
    stats.logprobs_BA.sum().backward()
    assert all(p.grad.isfinite().all() for p in language.parameters() if p.requires_grad)
    torch.testing.assert_close(stats.logprobs_BA.detach().cpu(), expected, atol=0.15, rtol=0)
    language.scorer = Repeated()
    torch.testing.assert_close(language(rollouts).logprobs_BA, stats.logprobs_BA, atol=0.15, rtol=0)


def test_recorded_logprobs_are_close_to_scored_ones(tmp_path: Path) -> None:
    language = hybrid(tokenizer_folder(tmp_path)).cuda()
    group = language.sample(prompts()[:1], 1, Sampling(max_actions=24), seed=0)[0]
    row = group.rollouts[0]
    rollouts = batch([group.prompt], [0], [len(row.actions_A)], 300)
    rollouts.actions_BA.copy_(row.actions_A[None])
    torch.testing.assert_close(language(rollouts).logprobs_BA[0].cpu(), row.behavior_logprobs_A, atol=0.15, rtol=0)
