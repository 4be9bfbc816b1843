"""A hash of the weights that a policy has: equal weights, equal hash, wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, in the order of their names: 64 hexadecimal digits.

    Some 2 GB a second on a CPU; tensors on a GPU are copied one at a time.

    >>> weights_hash({"a": torch.zeros(2)})[:8], weights_hash({"a": torch.ones(2)})[:8]
    ('da53f451', 'e5fcb0b6')
    """
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
