"""Caches every prompt's keys and values once for the G rows that are sampled for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from kairos.core.carry import carried
from kairos.policy.network.attention.automatic import Automatic
from kairos.policy.network.attention.decode import PromptKV
from kairos.policy.network.attention.padded import attention, pick
from kairos.policy.network.attention.shared_prompt_op import attend_to_sequences
from kairos.policy.network.attention.varlen import Varlen
from kairos.policy.network.kernels.dispatch import packs
from kairos.policy.network.segments import Segments, starts


class PromptCache(Protocol):
    """Holds the keys and values of a batch of prompts; the prompts' rows attend to them."""

    def prefill(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        """Causal attention of the packed prompts -> [N, H, D]; caches their keys and values."""
        ...

    def attend(self, layer: int, q_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Attention of one token a row over its whole prompt: output [P, X, D] and log-sum-exp [X, P] (fp32).

        X = key heads x G rows x query heads of a key head.
        """
        ...


@dataclass
class PaddedPrompts:
    """Prompts as one padded batch for plain matrix products: the path of a CPU and the twin of `PackedPrompts`."""

    lengths: Sequence[int]
    group_size: int
    device: torch.device
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length_P, start_P = torch.tensor(self.lengths), torch.tensor(starts(self.lengths)[:-1])
        steps = torch.arange(max(self.lengths))
        self.valid_PL = (steps < length_P[:, None]).to(self.device)
        self.index_PL = (start_P[:, None] + torch.minimum(steps, length_P[:, None] - 1)).to(self.device)
        self.flat_N = self.valid_PL.reshape(-1).nonzero().squeeze(1)

    def prefill(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        q, k, v = (pick(x, self.index_PL) for x in (q_NHD, k_NHD, v_NHD))
        self.kept[layer] = (k, v)
        return attention(q, k, v, scale).transpose(1, 2).flatten(0, 1).index_select(0, self.flat_N)

    def attend(self, layer: int, q_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Multiplies each key head by one matrix [G * R, D]: G rows of a prompt, R query heads that share the keys."""
        k_PHLD, v_PHLD = self.kept[layer]
        q_PGHRD = q_BHD.to(k_PHLD.dtype).unflatten(1, (k_PHLD.shape[1], -1)).unflatten(0, (-1, self.group_size))
        q_PHXD = q_PGHRD.transpose(1, 2).flatten(2, 3)
        scores = (q_PHXD @ k_PHLD.transpose(2, 3)).float() * scale
        scores = scores.masked_fill(~self.valid_PL[:, None, None], -torch.inf)
        lse_PHX = scores.logsumexp(-1)
        out_PHXD = (scores - lse_PHX[..., None]).exp().to(v_PHLD.dtype) @ v_PHLD
        return out_PHXD.flatten(1, 2), lse_PHX.flatten(1, 2).T


@dataclass
class PackedPrompts:
    """Prompts packed end to end for the flash kernels of a GPU."""

    lengths: Sequence[int]
    group_size: int
    device: torch.device
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        segments = Segments(tuple(self.lengths))
        self.plan = Varlen().plan(segments, self.device)
        self.prompts = Automatic().plan(segments, self.device) if packs(self.device) else self.plan
        self.queries = single_cuts(len(self.lengths), self.device)

    def prefill(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        k, v = self.kept[layer] = (k_NHD.to(v_NHD.dtype).contiguous(), v_NHD.contiguous())
        return self.prompts(q_NHD, k, v, scale)

    def keys_values(self, layer: int) -> PromptKV:
        """The keys and values that `prefill` cached for a layer."""
        return PromptKV(*self.kept[layer], self.plan.own_cuts, self.plan.longest[0])

    def attend(self, layer: int, q_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """The kernel gets a prompt's G rows as heads of one query, so that it reads the prompt's keys once."""
        k_NHD, v_NHD, cuts, longest = self.keys_values(layer)
        split = (len(self.lengths), self.group_size, k_NHD.shape[1], -1)  # P, G, Hkv, R
        q_PXD = q_BHD.to(k_NHD.dtype).unflatten(1, (split[2], -1)).unflatten(0, split[:2]).transpose(1, 2).flatten(1, 3)
        return attend_to_sequences(q_PXD, k_NHD, v_NHD, self.queries, cuts, longest, scale)


def single_cuts(sequences: int, device: torch.device) -> Tensor:
    """Cumulative lengths of sequences of one query each: 0, 1, ..., sequences (int32)."""
    return carried(torch.arange(sequences + 1, dtype=torch.int32), device)
