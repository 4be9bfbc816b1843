"""The convolution of packed prompts and rows agrees with plain torch: on a GPU where there is one, else interpreted."""

from __future__ import annotations

import pytest
import torch
from helpers.interpreting import interpret, needs_kernels
from torch import Tensor
from torch.nn.functional import silu

from kairos.policy.network.delta_net.convolution import convolved, convolved_plain
from kairos.policy.network.delta_net.indices import edges
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.network.segments import Segments, starts

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SEGMENTS = [
    Segments((130, 2, 64, 1, 9), (70, 1, 2, 3, 0, 5, 4, 1, 2, 3, 6), (0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4)),
    Segments((5, 3), (0, 0), (0, 1)),
    Segments((40,)),
]
NAMES = ["ragged", "no row goes on", "one prompt"]


def test_the_kernels_as_triton_interprets_them() -> None:
    interpret(__file__)


def drawn(*shape: int, kind: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, kind)


def one_by_one(mixed_ND: Tensor, weight_DK: Tensor, segments: Segments) -> Tensor:
    """The definition: every prompt, and every prompt with each of its rows, behind zeros."""
    reach = weight_DK.shape[1]

    def run(x_LD: Tensor) -> Tensor:
        behind = torch.cat([x_LD.new_zeros(reach - 1, x_LD.shape[1]), x_LD]).unfold(0, reach, 1)
        return silu((behind * weight_DK).sum(-1))

    prompts = mixed_ND[: segments.base].split(segments.prompts)
    begins = starts(segments.rows, segments.base)
    rows = [mixed_ND[begins[r] : begins[r + 1]] for r in range(len(segments.rows))]
    own = [run(torch.cat([prompts[g], row]))[len(prompts[g]) :] for g, row in zip(segments.group, rows, strict=True)]
    return torch.cat([*map(run, prompts), *own])


def values_and_gradients(compute: object, mixed: Tensor, weight: Tensor, *others: object) -> list[Tensor]:
    leaves = [mixed.clone().requires_grad_(), weight.clone().requires_grad_()]
    output = compute(*leaves, *others)  # type: ignore[operator]
    (output.float() * drawn(*output.shape, seed=9)).sum().backward()
    return [output.detach(), *(leaf.grad for leaf in leaves)]


def agree(ours: list[Tensor], theirs: list[Tensor], share: float) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        difference = ((one.float() - other.float()).norm() / other.float().norm()).item()
        assert difference <= share, difference


@pytest.mark.parametrize("segments", SEGMENTS, ids=NAMES)
@pytest.mark.parametrize("reach", [4, 2, 1])
def test_plain_torch_is_the_definition(segments: Segments, reach: int) -> None:
    mixed, weight = drawn(len(segments), 6), drawn(6, reach, seed=1)
    plain = values_and_gradients(convolved_plain, mixed, weight, edges(segments, reach, DEVICE))
    agree(plain, values_and_gradients(one_by_one, mixed, weight, segments), 1e-6)


@needs_kernels
@pytest.mark.parametrize("segments", SEGMENTS, ids=NAMES)
@pytest.mark.parametrize(("width", "reach"), [(6, 4), (200, 4), (130, 2), (5, 1)])
def test_the_kernels_are_plain_torch(segments: Segments, width: int, reach: int) -> None:
    mixed, weight = drawn(len(segments), width), drawn(width, reach, seed=1)
    assert uses_triton(mixed)
    plain = values_and_gradients(convolved_plain, mixed, weight, edges(segments, reach, DEVICE))
    agree(values_and_gradients(convolved, mixed, weight, segments), plain, 1e-6)


@needs_kernels
def test_the_kernels_read_part_of_a_wider_product() -> None:
    segments = SEGMENTS[0]
    wide, weight, found = drawn(len(segments), 137), drawn(130, 4, seed=1), edges(segments, 4, DEVICE)
    ours = values_and_gradients(lambda x, weight: convolved(x[:, 3:133], weight, segments), wide, weight)
    plain = values_and_gradients(lambda x, weight: convolved_plain(x[:, 3:133], weight, found), wide, weight)
    agree(ours, plain, 1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="bf16 as autocast has it: needs a GPU")
def test_bf16_inputs_with_fp32_weights() -> None:
    mixed, weight = drawn(len(SEGMENTS[0]), 256, kind=torch.bfloat16), drawn(256, 4, seed=1)
    ours = values_and_gradients(convolved, mixed, weight, SEGMENTS[0])
    theirs = values_and_gradients(one_by_one, mixed.float(), weight, SEGMENTS[0])
    agree(ours, [theirs[0].bfloat16(), theirs[1].bfloat16(), theirs[2]], 1e-2)
