"""Launches Triton kernels, with a faster lookup of compiled kernels than Triton's own."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from triton import JITFunction
    from triton.compiler import CompiledKernel

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether Triton interprets kernels on a CPU, which tests ask for."""


def launch(kernel: JITFunction, grid: tuple[int, ...], x: Tensor, *others: object, **options: object) -> None:
    """Run `kernel` on the device of `x` (Triton would take the current device).

    Triton's lookup of the compiled kernel takes as long as a kernel runs. Here Triton is asked once for each kind of
    arguments; later launches take the compiled kernel from `_launched`.
    """
    arguments = (x, *others)
    if INTERPRETED:
        kernel[grid](*arguments, **options)
        return
    with nullcontext() if x.device.index == torch.cuda.current_device() else torch.cuda.device_of(x):
        key = (kernel, x.device, *map(_specialization, arguments), *options.values())
        known = _launched.get(key)
        if known is None:
            _launched[key] = kernel[grid](*arguments, **options)
            return
        constants = [options[name] for name in kernel.arg_names[len(arguments) :]]
        known[(*grid, 1, 1)[:3]](*arguments, *constants)


_launched: dict[object, CompiledKernel] = {}


def _specialization(argument: object) -> object:
    """The properties of an argument that Triton compiles a kernel for: dtype, alignment, size of an integer."""
    if isinstance(argument, Tensor):
        return argument.dtype, argument.data_ptr() % 16 == 0
    if isinstance(argument, int):
        return argument == 1, argument % 16 == 0, argument >= 2**31
    return type(argument)


def next_power_of_2(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return 1 << max(0, number - 1).bit_length()
