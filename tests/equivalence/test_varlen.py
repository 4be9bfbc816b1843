"""The operator for shared prompts is SDPA over gathered tokens, in values and in gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, library

from kairos.policy.network.attention.cudnn import Cudnn, CudnnPlan
from kairos.policy.network.attention.gathered_sdpa import Gathered
from kairos.policy.network.attention.shared_prompt_op import shared_attention
from kairos.policy.network.attention.varlen import Varlen
from kairos.policy.network.kernels.dispatch import flash_module
from kairos.policy.network.segments import Segments

CPU = torch.device("cpu")
CASES = {
    "ragged": Segments((9, 5, 12), (3, 1, 4, 2, 6), (0, 0, 1, 2, 2)),
    "empty rows": Segments((9, 5), (3, 0, 0, 2), (0, 0, 1, 1)),
    "a prompt without rows": Segments((4, 9, 5), (3, 1, 0, 2), (0, 0, 1, 2)),
    "prompts alone": Segments((4, 9)),
    "nothing but first tokens": Segments((7,), (0, 0), (0, 0)),
    "one group": Segments((33,), (8, 8, 8), (0, 0, 0)),
}


def qkv(tokens: int, heads: int, key_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = (heads, key_heads, key_heads)
    return tuple(torch.randn(tokens, h, 8, generator=generator).requires_grad_() for h in sizes)  # type: ignore[return-value]


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 1)], ids=["own keys", "grouped", "one key head"])
@pytest.mark.parametrize("segments", CASES.values(), ids=CASES.keys())
def test_varlen_equals_gathered(segments: Segments, heads: tuple[int, int]) -> None:
    outputs, gradients = [], []
    for attention in (Varlen(), Gathered()):
        inputs = qkv(len(segments), *heads)
        out = attention.plan(segments, CPU)(*inputs, 0.3)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        outputs.append(out.detach())
        gradients.append(torch.autograd.grad((out * weights).sum(), inputs))
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-6, rtol=1e-5)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("step", [4, 8, 32])
@pytest.mark.parametrize("rows", [(8, 8, 8), (), (1, 0, 5)], ids=["rows", "no rows", "ragged"])
def test_a_prompt_cut_into_dense_keys_and_a_rest_equals_gathered(rows: tuple[int, ...], step: int) -> None:
    segments = Segments((33,), rows, (0,) * len(rows))
    results = []
    for attention in (Cudnn(shortest=1, step=step), Gathered()):
        inputs, plan = qkv(len(segments), 6, 2), attention.plan(segments, CPU)
        assert isinstance(plan, CudnnPlan) == isinstance(attention, Cudnn)
        out = plan(*inputs, 0.3)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        results.append([out.detach(), *torch.autograd.grad((out * weights).sum(), inputs)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("segments", [CASES["ragged"], CASES["a prompt without rows"]], ids=["ragged", "without rows"])
def test_the_operator_keeps_torchs_rules(segments: Segments) -> None:
    """Schema, fake tensors and autograd registration, so that it can be compiled and checkpointed."""
    q, k, v = qkv(len(segments), 4, 2)
    plan = Varlen().plan(segments, CPU)
    library.opcheck(shared_attention, (q, k, v, *plan, 0.3))


def test_rows_see_no_other_row_and_no_other_prompt() -> None:
    """A change of one row's keys moves that row alone; a change of a prompt's moves its own tokens and rows."""
    segments = CASES["ragged"]
    plan = Varlen().plan(segments, CPU)
    q, k, v = (x.detach() for x in qkv(len(segments), 2, 2))
    whole = plan(q, k, v, 1.0)
    for begin, end, moved in [(26, 29, range(26, 29)), (9, 14, [*range(9, 14), *range(30, 34)])]:
        other = v.clone()
        other[begin:end] += 1.0
        changed = (plan(q, k, other, 1.0) - whole).abs().amax((1, 2)) > 1e-6
        assert changed.nonzero().flatten().tolist() == list(moved)


def test_an_unknown_implementation_is_named() -> None:
    with pytest.raises(ValueError, match=r"null or one of .*got FA9"):
        Varlen("FA9")


@pytest.mark.parametrize(("name", "package"), [("FA3", "flash-attn-3, or xformers"), ("FA4", "flash-attn-4")])
def test_kernels_that_are_not_installed_are_named(name: str, package: str) -> None:
    with pytest.raises(ValueError, match=f"attn.implementation={name} needs the package {package}"):
        flash_module(name, has=lambda module: False)
    with pytest.raises(ValueError, match=r"must be null or one of \['FA3', 'FA4'\], got FA5"):
        Varlen("FA5")
