"""The flash kernels behind shared prompts and decoding against their plain twins on a CPU, and graphs against steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import batch, policy, prompts, tokenizer_folder
from torch import Tensor

from kairos.core.types import RolloutGroup, Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.precision import compute_precision
from kairos.policy.network.attention.automatic import fastest, measured
from kairos.policy.network.attention.cudnn import Cudnn, CudnnPlan
from kairos.policy.network.attention.varlen import Varlen
from kairos.policy.network.kernels.dispatch import dense_kernels_may_pay, uses_triton
from kairos.policy.network.kernels.joint_linear import weights_cast_once
from kairos.policy.network.segments import Segments
from kairos.policy.network.text.norms import fuse_norms
from kairos.policy.sampling.contexts import SamplingCache
from kairos.policy.sampling.cuda_graph import Replayed
from kairos.policy.sampling.draw import Decoding, draw
from kairos.policy.sampling.drawn import AllEnded
from kairos.policy.sampling.prompt_cache import PackedPrompts
from kairos.policy.sampling.rollouts import rollout_groups
from kairos.policy.sampling.row_cache import PackedRows
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import SharedPrefix

pytestmark = pytest.mark.gpu
CASES = {
    "ragged": Segments((90, 50, 120), (30, 1, 40, 20, 60), (0, 0, 1, 2, 2)),
    "a prompt without rows": Segments((40, 90, 50), (3, 1, 0, 2), (0, 0, 1, 2)),
    "prompts alone": Segments((40, 300)),
}
HEADS = {"grouped": (16, 2, 128), "own keys": (4, 4, 64), "wide": (8, 2, 256)}


def drawn(tokens: int, heads: tuple[int, int, int]) -> list[Tensor]:
    """In bf16 on the CPU: queries, keys and values, and a weight for every output."""
    many, few, width = heads
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(tokens, n, width, generator=generator).bfloat16() for n in (many, few, few, many)]


@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("segments", CASES.values(), ids=CASES.keys())
def test_shared_attention_and_its_gradients(segments: Segments, heads: tuple[int, int, int]) -> None:
    results = []
    for device in ("cuda", "cpu"):
        kind = torch.bfloat16 if device == "cuda" else torch.float32
        q, k, v, weights = (x.to(device, kind) for x in drawn(len(segments), heads))
        inputs = [x.requires_grad_() for x in (q, k, v)]
        out = Varlen().plan(segments, torch.device(device))(*inputs, heads[2] ** -0.5)
        results.append([out, *torch.autograd.grad((out * weights).sum(), inputs)])
    for ours, theirs in zip(*results, strict=True):
        theirs = theirs.to("cuda")
        assert ((ours - theirs).norm() / theirs.norm()).item() < 0.02


@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("rows", [(200, 1, 0, 130), ()], ids=["rows", "no rows"])
def test_cudnn_computes_a_long_prompt_and_its_rows(rows: tuple[int, ...], heads: tuple[int, int, int]) -> None:
    segments, results = Segments((1300,), rows, (0,) * len(rows)), []
    for device in (torch.device("cuda"), torch.device("cpu")):
        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        q, k, v, weights = (x.to(device, kind) for x in drawn(len(segments), heads))
        inputs, plan = [x.requires_grad_() for x in (q, k, v)], Cudnn().plan(segments, device)
        assert isinstance(plan, CudnnPlan)
        out = plan(*inputs, heads[2] ** -0.5)
        results.append([out, *torch.autograd.grad((out * weights).sum(), inputs)])
    for ours, theirs in zip(*results, strict=True):
        assert ((ours.cpu() - theirs).norm() / theirs.norm()).item() < 0.02


def test_automatic_takes_the_fastest_kernels_of_those_that_run_here() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    best = fastest(device)
    assert isinstance(best, Cudnn | Varlen)
    if dense_kernels_may_pay(device):
        assert measured(best, device) < 1.2 * measured(Varlen(), device)


@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS.keys())
def test_decoding_looks_at_prompts_and_at_own_tokens(heads: tuple[int, int, int]) -> None:
    lengths, group, steps = (70, 300, 5), 4, 6
    rows, results = len(lengths) * group, []
    for device in (torch.device("cuda"), torch.device("cpu")):
        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        q, k, v, _ = (x.to(device, kind) for x in drawn(sum(lengths) + rows * steps, heads))
        told, own, seen = PackedPrompts(lengths, group, device), PackedRows(rows, 4, device), []
        told.prefill(0, *(x[: sum(lengths)] for x in (q, k, v)), 0.1)
        for number in range(steps):
            here = slice(sum(lengths) + number * rows, sum(lengths) + (number + 1) * rows)
            if number == 4:
                own.grow(8)
            seen += [*own.append_and_attend(0, q[here], k[here], v[here], 0.1), *told.attend(0, q[here], 0.1)]
            own.advance()
        results.append(seen)
    for ours, theirs in zip(*results, strict=True):
        assert ((ours.cpu() - theirs).norm() / theirs.norm()).item() < 0.02


def decoded(device: torch.device, heads: tuple[int, int, int], replayed: bool = False, joint: bool = True) -> Tensor:
    """Eight steps of one layer, with room for tokens that grows after four."""
    lengths, group, steps, kind = (70, 300, 5), 4, 8, torch.bfloat16 if device.type == "cuda" else torch.float32
    base, rows = sum(lengths), len(lengths) * group
    whole = [x.to(device, kind) for x in drawn(base + rows * steps, heads)[:3]]
    kept, own = PackedPrompts(lengths, group, device), PackedRows(rows, 4, device)
    memory = SamplingCache(kept, own, lengths, group, joint)
    memory.prefill.attend(0, *(x[:base] for x in whole), 0.1)
    fed = [torch.empty_like(x[:rows]) for x in whole]
    out, seen = torch.empty_like(fed[0]), []

    def advance() -> None:
        out.copy_(memory.decode.attend(0, *fed, 0.1))
        memory.rows.advance()

    taken = Replayed(advance) if replayed else advance
    for number, new in enumerate(zip(*(x[base:].split(rows) for x in whole), strict=True)):
        if number == 4:
            memory.rows.grow(8)
            taken = Replayed(advance, warm=True) if replayed else advance
        for there, x in zip(fed, new, strict=True):
            there.copy_(x)
        taken()
        seen.append(out.to("cpu", torch.float32, copy=True))
    return torch.stack(seen)


@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS.keys())
def test_decoding_in_two_kernels_is_the_flash_kernels_and_replays(heads: tuple[int, int, int]) -> None:
    if not uses_triton(torch.zeros(1, device="cuda")):
        pytest.skip("Triton builds no kernel here")
    ours, replayed = (decoded(torch.device("cuda"), heads, replayed) for replayed in (False, True))
    assert torch.equal(ours, replayed)
    for device in ("cuda", "cpu"):
        theirs = decoded(torch.device(device), heads, joint=False)
        assert ((ours - theirs).norm() / theirs.norm()).item() < 0.02


def sampled(language: LanguagePolicy, decoding: Decoding) -> list[RolloutGroup]:
    asked = [replace(prompt, layout=language.processor(prompt)) for prompt in prompts()]
    with torch.no_grad(), compute_precision(language.device), weights_cast_once():
        seen, end = language.towers.see(asked), language.processor.end
        found = draw(language.eval().towers, asked, seen, 4, Sampling(max_actions=30), 3, end, decoding)
    return rollout_groups(found, asked, language.processor)


def test_a_replayed_graph_draws_what_steps_draw(tmp_path: Path) -> None:
    language = policy(tokenizer_folder(tmp_path)).cuda()
    graphs = Decoding(PackedPrompts, PackedRows, replayed=True, capacity=8)
    first, second = (sampled(language, graphs) for _ in range(2))
    stepped = sampled(language, Decoding(PackedPrompts, PackedRows, capacity=8))
    for replayed in (first, second):
        for one, other in zip(replayed, stepped, strict=True):
            for a, b in zip(one.rollouts, other.rollouts, strict=True):
                assert torch.equal(a.actions_A, b.actions_A)
                torch.testing.assert_close(a.behavior_logprobs_A, b.behavior_logprobs_A, atol=1e-3, rtol=0)


def test_rows_that_end_early_end_the_steps(tmp_path: Path) -> None:
    language = policy(tokenizer_folder(tmp_path)).cuda()
    running_B = torch.ones(3, dtype=torch.bool, device="cuda")
    ended = AllEnded(running_B)
    assert not ended() and not ended()
    running_B.zero_()
    assert [ended(), ended()] == [False, True]
    groups = language.sample(prompts(), 2, Sampling(max_actions=20), seed=0)
    assert all(len(r.actions_A) <= 20 for group in groups for r in group.rollouts)


def test_kernels_agree_through_the_scorers(tmp_path: Path) -> None:
    language = policy(tokenizer_folder(tmp_path)).cuda()
    rollouts = batch(prompts(), [2, 0, 1, 0, 0, 2], [5, 1, 9, 3, 7, 4], len(language.processor.loaded))
    values = []
    for scorer in (SharedPrefix(Varlen()), Repeated(Varlen()), Repeated()):
        language.scorer = scorer
        values.append(language(rollouts).logprobs_BA.detach())
    torch.testing.assert_close(values[0], values[1], atol=0.1, rtol=0)
    torch.testing.assert_close(values[0], values[2], atol=0.1, rtol=0)


def test_a_fused_norm_is_the_norm(tmp_path: Path) -> None:
    norm = torch.nn.Module()
    norm.weight, norm.variance_epsilon = torch.nn.Parameter(torch.randn(256)), 1e-6
    fuse_norms(norm, torch.nn.Module)
    norm.cuda()
    x = torch.randn(7, 256, device="cuda")
    expected = x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert norm(x).dtype == torch.bfloat16
