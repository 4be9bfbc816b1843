"""FlashAttention-3 and -4 in place of torch's own kernels, each in a process of its own: torch keeps them."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch

from kairos.policy.network.attention.varlen import Varlen
from kairos.policy.network.kernels.dispatch import has_package
from kairos.policy.network.segments import Segments

pytestmark = pytest.mark.gpu
CASES = [
    Segments((90, 50, 120), (30, 1, 40, 20, 60), (0, 0, 1, 2, 2)),
    Segments((40, 90), (3, 2), (0, 0)),
    Segments((40, 300)),
]
HEADS = [(16, 2, 128), (4, 4, 64)]
PACKAGES = {"FA3": ("flash_attn_interface", "xformers"), "FA4": ("flash_attn.cute",)}


def differences(implementation: str) -> list[float]:
    """Of outputs and gradients in bf16 from the plain twin's in fp32, as shares of their norms."""
    found = []
    for segments in CASES:
        for many, few, width in HEADS:
            noise, results = torch.Generator().manual_seed(0), []
            drawn = [torch.randn(len(segments), n, width, generator=noise).bfloat16() for n in (many, few, few, many)]
            for device, kind, attn in (
                ("cuda", torch.bfloat16, Varlen(implementation)),
                ("cpu", torch.float32, Varlen()),
            ):
                *inputs, weights = (x.to(device, kind).requires_grad_() for x in drawn)
                out = attn.plan(segments, torch.device(device))(*inputs, width**-0.5)
                results.append([out, *torch.autograd.grad((out * weights).sum(), inputs)])
            for mine, twin in zip(*results, strict=True):
                found.append(((mine.float().cpu() - twin).norm() / twin.norm()).item())
    return found


@pytest.mark.parametrize("implementation", ["FA3", "FA4"])
def test_other_flash_kernels_give_the_same(implementation: str) -> None:
    if not any(map(has_package, PACKAGES[implementation])):
        pytest.skip(f"needs one of {', '.join(PACKAGES[implementation])}")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert max(pool.submit(differences, implementation).result()) < 0.02
