"""The only place that says which path runs: a Triton kernel, an optional package's, or plain torch."""

from __future__ import annotations

import logging
import subprocess
from functools import cache
from importlib.util import find_spec
from typing import TypeGuard

import torch
from torch import Tensor, nn

from kairos.policy.kernels.launch import INTERPRETED, launch

_log = logging.getLogger(__name__)


@cache
def has_package(module: str) -> bool:
    """Whether this environment can import `module`, which may lie inside a package that is missing too."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def uses_triton(x: Tensor) -> bool:
    """Whether operators on `x` run as Triton kernels. torch's compiler is given plain torch, which it fuses itself."""
    return not torch.compiler.is_compiling() and (x.is_cuda or INTERPRETED) and _triton_builds()


def matmul_dtype(x: Tensor, otherwise: torch.dtype) -> torch.dtype:
    """The dtype of matrix products where `x` is: autocast's, or `otherwise` without autocast."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else otherwise


def only_multiply(*parts: nn.Linear) -> bool:
    """Whether calling these layers is a matrix product each and no more: no adapters, no hooks, nothing compiled."""
    return not torch.compiler.is_compiling() and all(
        type(part) is nn.Linear
        and not (part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks)
        for part in parts
    )


def joinable(x: Tensor, *parts: nn.Linear) -> bool:
    """Whether one product stands for these layers: autocast would have to cast their weights anyway."""
    return only_multiply(*parts) and all(part.weight.dtype != matmul_dtype(x, part.weight.dtype) for part in parts)


def fuses_head(head: object, hidden_MD: Tensor) -> TypeGuard[nn.Linear]:
    """Whether the kernels of `token_logprobs` stand for calling `head`."""
    return isinstance(head, nn.Linear) and head.bias is None and only_multiply(head) and uses_triton(hidden_MD)


@cache
def _triton_builds() -> bool:
    """Whether Triton is installed and can build a kernel: it wants a C compiler for what launches one."""
    if not has_package("triton"):
        return False
    x = torch.zeros(1, device="cpu" if INTERPRETED else "cuda")
    try:
        from kairos.policy.kernels.triton import elementwise as kernels

        launch(kernels.gate_forward, (1,), x, x, x, 1, 1, BLOCK=1)
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        _log.warning("the layers' elementwise work is not fused, because Triton builds no kernel here: %s", error)
        return False
    return True
