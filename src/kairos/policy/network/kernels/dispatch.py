"""Decides which path an operator runs: a Triton kernel, an optional package, or plain torch. No other file does."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from kairos.core.installing import install_line
from kairos.policy.network.kernels.launch import INTERPRETED, launch

_log = logging.getLogger(__name__)


@cache
def has_package(module: str) -> bool:
    """Whether this environment can import `module`; its parent package may be missing, too."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def uses_triton(x: Tensor) -> bool:
    """Whether operators on `x` run as Triton kernels; under torch.compile they stay plain torch, which it fuses."""
    return not torch.compiler.is_compiling() and (x.is_cuda or INTERPRETED) and triton_builds()


def uses_flash(x: Tensor) -> bool:
    """Whether packed attention on `x` runs as flash kernels (bf16 or fp16) or as their plain torch twin."""
    return x.is_cuda


def packs(device: torch.device) -> bool:
    """Whether attention takes packed tokens (flash kernels) or gathers them into padded batches (SDPA)."""
    return device.type == "cuda"


def dense_kernels_may_pay(device: torch.device) -> bool:
    """Whether cuDNN's dense attention may beat the flash kernels: on Hopper and newer, with cuDNN 9."""
    hopper = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)
    return hopper and (torch.backends.cudnn.version() or 0) >= 90000


def runs_ahead(device: torch.device) -> bool:
    """Whether the host runs ahead of `device`: reading a result back there makes the host wait."""
    return device.type == "cuda"


def matmul_dtype(x: Tensor, otherwise: torch.dtype) -> torch.dtype:
    """The dtype of matrix products on the device of `x`: autocast's, or `otherwise` without autocast."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else otherwise


def only_multiply(*parts: nn.Linear) -> bool:
    """Whether calling each of these layers is a matrix product and no more: no adapter, no hooks, not compiled."""
    return not torch.compiler.is_compiling() and all(
        type(part) is nn.Linear
        and not (part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks)
        for part in parts
    )


def joinable(x: Tensor, *parts: nn.Linear) -> bool:
    """Whether these layers run as one product: autocast would cast their weights anyway."""
    return only_multiply(*parts) and all(part.weight.dtype != matmul_dtype(x, part.weight.dtype) for part in parts)


def fuses_head(head: object, hidden_MD: Tensor) -> TypeGuard[nn.Linear]:
    """Whether the kernels of `token_logprobs` replace the call of `head`."""
    return isinstance(head, nn.Linear) and head.bias is None and only_multiply(head) and uses_triton(hidden_MD)


def pads_widths(x: Tensor) -> bool:
    """Whether matrices on the device of `x` are padded to aligned widths, without which a GPU takes slow kernels."""
    return x.is_cuda


def keeps_fp32_sums(a: Tensor, dtype: torch.dtype) -> bool:
    """Whether torch can return a product of bf16 matrices in fp32, the dtype it was summed in."""
    return a.is_cuda and dtype == torch.float32 and a.dtype != dtype


@cache
def triton_builds() -> bool:
    """Whether Triton is installed and can build a kernel; it needs a C compiler for the launcher."""
    if not has_package("triton"):
        return False
    x = torch.zeros(1, device="cpu" if INTERPRETED else "cuda")
    try:
        from kairos.policy.network.kernels.triton import elementwise as kernels

        launch(kernels.gate_forward, (1,), x, x, x, 1, 1, BLOCK=1)
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        _log.warning("the layers' elementwise work is not fused, because Triton builds no kernel here: %s", error)
        return False
    return True


class FlashPackage(NamedTuple):
    """A package of flash kernels that torch can use instead of its own."""

    modules: tuple[str, ...]
    """Modules that bring the kernels; the first that is installed is used."""
    install: str
    """What to install, in words."""


FLASH_PACKAGES = {
    "FA3": FlashPackage(("flash_attn_interface", "xformers.flash_attn_3._C"), "flash-attn-3, or xformers 0.0.34"),
    "FA4": FlashPackage(("flash_attn.cute",), f"flash-attn-4: {install_line('flash')}"),
}


def flash_module(implementation: str, has: Callable[[str], bool] = has_package) -> str:
    """The installed module that brings the kernels of `implementation`. ValueError where none is installed."""
    package = FLASH_PACKAGES[implementation]
    for module in package.modules:
        if has(module):
            return module
    raise ValueError(
        f"attn.implementation={implementation} needs the package {package.install}; attn=varlen needs none"
    )


class Choice(NamedTuple):
    """The path that an operator takes, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Machine:
    """What a choice of path depends on besides tensors; a value, so that a plan can be made for another machine."""

    kind: str
    """torch's type of device: "cuda", "cpu"."""
    capability: tuple[int, int] | None = None
    """Compute capability of the GPU; None where there is no GPU to ask."""
    has: Callable[[str], bool] = has_package
    """Whether a module can be imported."""
    version: Callable[[str], str] = version
    """The version of an installed package."""

    @classmethod
    def of(cls, device: torch.device) -> Machine:
        """This machine, with `device` as its device."""
        here = device.type == "cuda" and torch.cuda.is_available()
        return cls(device.type, torch.cuda.get_device_capability(device) if here else None)


def delta_net(machine: Machine) -> Choice:
    """What computes gated delta nets over whole sequences: "fla" or "torch"."""
    if machine.kind != "cuda":
        return Choice("torch", "no GPU")
    if not machine.has("fla"):
        return Choice("torch", f"flash-linear-attention is not installed: {install_line('fla')}")
    reason = fla_refuses(machine)
    return Choice("fla", "flash-linear-attention is installed") if reason is None else Choice("torch", reason)


def fla_refuses(machine: Machine) -> str | None:
    """Why flash-linear-attention gives no gradients on this GPU; None where it gives them.

    On Hopper, Triton 3.4.0 to 3.7.0 miscompile its backward pass, so it refuses without tilelang (its issue 640).
    """
    if machine.capability != (9, 0) or not machine.has("triton") or machine.has("tilelang"):
        return None
    triton = machine.version("triton")
    if not (3, 4, 0) <= tuple(map(int, re.findall(r"\d+", triton)[:3])) < (3, 7, 1):
        return None
    return f"flash-linear-attention gives no gradients here with triton {triton}; install triton>=3.7.1 or tilelang"
