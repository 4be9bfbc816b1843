"""Caches the keys and values of the tokens that each row has drawn, in tensors at fixed addresses until `grow`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from kairos.policy.network.attention.decode import RowKV
from kairos.policy.network.attention.shared_prompt_op import attend_to_sequences
from kairos.policy.network.kernels.elementwise import write_kv
from kairos.policy.sampling.prompt_cache import single_cuts


class RowCache(Protocol):
    """Holds the keys and values of B rows, of at most `capacity` tokens each."""

    @property
    def step(self) -> Tensor:
        """int64 [1]: the column that the next token is written to."""
        ...

    @property
    def capacity(self) -> int:
        """Tokens a row that the cache can hold until `grow`."""
        ...

    def allocate(self, layer: int, v_NHD: Tensor) -> None:
        """Allocate a layer's tensors, with the heads and dtype of the prompts' values; a second call does nothing."""
        ...

    def grow(self, capacity: int) -> None:
        """Copy everything into new tensors for `capacity` tokens a row."""
        ...

    def advance(self) -> None:
        """Move on to the next column, once all layers have written this one."""
        ...

    def append_and_attend(
        self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Write one token a row and attend over the row's tokens: output [B, H, D] and log-sum-exp [B, H] (fp32)."""
        ...


@dataclass
class PaddedRows:
    """Keys and values [B, Hkv, capacity, D] for matrix products: the path of a CPU and the twin of `PackedRows`."""

    rows: int
    capacity: int
    device: torch.device
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.step, self.width = torch.zeros(1, dtype=torch.long, device=self.device), 1

    def grow(self, capacity: int) -> None:
        added = capacity - self.capacity
        self.kept = {n: (pad(k, (0, 0, 0, added)), pad(v, (0, 0, 0, added))) for n, (k, v) in self.kept.items()}
        self.capacity = capacity

    def advance(self) -> None:
        self.step.add_(1)
        self.width += 1

    def allocate(self, layer: int, v_NHD: Tensor) -> None:
        if layer not in self.kept:
            shape = (self.rows, v_NHD.shape[1], self.capacity, v_NHD.shape[2])
            self.kept[layer] = (v_NHD.new_zeros(shape), v_NHD.new_zeros(shape))

    def append_and_attend(
        self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        self.allocate(layer, v_BHD)
        keys, values = self.kept[layer]
        keys.index_copy_(2, self.step, k_BHD.to(keys.dtype)[:, :, None])
        values.index_copy_(2, self.step, v_BHD[:, :, None])
        keys, values = keys[:, :, : self.width], values[:, :, : self.width]
        q_BHRD = q_BHD.to(keys.dtype).unflatten(1, (keys.shape[1], -1))
        scores = (q_BHRD @ keys.transpose(2, 3)).float() * scale
        lse_BHR = scores.logsumexp(-1)
        out_BHRD = (scores - lse_BHR[..., None]).exp().to(values.dtype) @ values
        return out_BHRD.flatten(1, 2), lse_BHR.flatten(1, 2)


@dataclass
class PackedRows:
    """Keys and values [B, capacity, Hkv, D] for the flash kernels, which read the first `used_B` tokens of each row."""

    rows: int
    capacity: int
    device: torch.device
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.step = torch.zeros(1, dtype=torch.long, device=self.device)
        self.used_B = torch.ones(self.rows, dtype=torch.int32, device=self.device)
        self.queries = single_cuts(self.rows, self.device)
        self.cuts = self.queries * self.capacity

    def grow(self, capacity: int) -> None:
        room = (0, 0, 0, 0, 0, capacity - self.capacity)
        self.kept = {n: (pad(k, room), pad(v, room)) for n, (k, v) in self.kept.items()}
        self.capacity, self.cuts = capacity, self.queries * capacity

    def advance(self) -> None:
        self.step.add_(1)
        self.used_B.add_(1)

    def allocate(self, layer: int, v_NHD: Tensor) -> None:
        if layer not in self.kept:
            shape = (self.rows, self.capacity, *v_NHD.shape[1:])
            self.kept[layer] = (v_NHD.new_zeros(shape), v_NHD.new_zeros(shape))

    def append(self, layer: int, k_BHD: Tensor, v_BHD: Tensor) -> RowKV:
        """Write one token a row; returns all tokens of the rows."""
        self.allocate(layer, v_BHD)
        write_kv(k_BHD, v_BHD, *self.kept[layer], self.step)
        return RowKV(*self.kept[layer], self.used_B)

    def append_and_attend(
        self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        keys, values, used_B = self.append(layer, k_BHD, v_BHD)
        out_BHD, lse_HB = attend_to_sequences(
            q_BHD.to(keys.dtype), keys.flatten(0, 1), values.flatten(0, 1),
            self.queries, self.cuts, self.capacity, scale, used_B,
        )  # fmt: skip
        return out_BHD, lse_HB.T
