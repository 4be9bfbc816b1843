"""Text layers compiled by torch for scoring: one graph a layer, the attention operator inside it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch._dynamo
from torch import nn


def compile_layers(layers: Iterable[nn.Module], backend: str) -> None:
    """From now on each layer runs as `backend` ("inductor", ...) compiled it, for any number of tokens.

    All layers of a kind share one compilation: their numbers are no constants of it. ValueError for an unknown backend.
    """
    if backend not in (known := torch._dynamo.list_backends(exclude_tags=())):
        raise ValueError(f"policy.compile must be null or one of {known}, got {backend}")
    torch._dynamo.config.allow_unspec_int_on_nn_module = True
    for layer in layers:
        layer.compile(dynamic=True, backend=backend)


def uncompiled(active: bool) -> AbstractContextManager[object]:
    """Layers run as they are written: for sampling, whose steps are captured in a graph and too many to compile."""
    return torch.compiler.set_stance("force_eager") if active else nullcontext()
