"""Compiles the text layers with torch.compile for scoring: one graph a layer, which contains its attention."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch._dynamo
from torch import nn


def compile_layers(layers: Iterable[nn.Module], backend: str) -> None:
    """Compile each layer with `backend` ("inductor", ...), for any number of tokens.

    Layers of one kind share a compilation, because their integer attributes (their index) are not compiled in as
    constants. ValueError for an unknown backend.
    """
    if backend not in (known := torch._dynamo.list_backends(exclude_tags=())):
        raise ValueError(f"policy.compile must be null or one of {known}, got {backend}")
    torch._dynamo.config.allow_unspec_int_on_nn_module = True
    for layer in layers:
        layer.compile(dynamic=True, backend=backend)


def uncompiled(active: bool) -> AbstractContextManager[object]:
    """Inside this context compiled layers run eagerly, for sampling: a CUDA graph captures its steps already."""
    return torch.compiler.set_stance("force_eager") if active else nullcontext()
