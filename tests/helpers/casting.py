"""Says which tensors a torch operator casts to bf16, for tests that count casts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

_SOURCES: dict[object, Callable[[Sequence[Any]], Sequence[Tensor]]] = {
    torch.ops.aten.copy_.default: lambda args: args[1:2],
    torch.ops.aten._to_copy.default: lambda args: args[:1],
    torch.ops.aten.cat.out: lambda args: args[0],
}


def cast_to_bf16(function: object, args: Sequence[Any], out: object) -> list[Tensor]:
    """The fp32 tensors that one operator call, seen by a dispatch mode, converted to bf16."""
    sources = _SOURCES[function](args) if function in _SOURCES else ()
    return [x for x in sources if x.dtype == torch.float32 and cast("Tensor", out).dtype == torch.bfloat16]
