"""What sampling remembers: every prompt's keys and values once, those of the tokens drawn so far a row, and states.

All tensors that a decode step reads or writes stay where they are until `grow`, so that a step can be captured in a
CUDA graph; which token it draws is a number on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from kairos.core.carry import carried
from kairos.policy.attention.decode import PromptKV, RowKV, decode_attention
from kairos.policy.attention.padded import attention, pick
from kairos.policy.attention.shared_prompt_op import attend_to_sequences
from kairos.policy.attention.varlen import Varlen
from kairos.policy.delta_net.step import DeltaState, DeltaStep
from kairos.policy.kernels.dispatch import uses_triton
from kairos.policy.kernels.elementwise import write_kv
from kairos.policy.segments import Segments, starts
from kairos.policy.text.context import Context


class PromptMemory(Protocol):
    """How a batch of prompts is remembered and looked at by the G rows of each."""

    def first(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        """Causal attention of the packed prompts [N, H, D]; keys and values are kept."""
        ...

    def look(self, layer: int, q_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Attention of one token a row over its whole prompt: output [P, X, D] and log-sum-exp [X, P] (fp32).

        X counts key heads, the G rows of a prompt, and the queries of a key head.
        """
        ...


@dataclass
class PaddedPrompts:
    """Prompts as one padded batch for matrix products: for a CPU, and as the twin."""

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

    def first(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        q, k, v = (pick(x, self.index_PL) for x in (q_NHD, k_NHD, v_NHD))
        self.kept[layer] = (k, v)
        return attention(q, k, v, scale).transpose(1, 2).flatten(0, 1).index_select(0, self.flat_N)

    def look(self, layer: int, q_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """The G rows of a prompt and the heads that share keys are one matrix [G * R, D]."""
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
    """Prompts end to end for the flash kernels: for a GPU."""

    lengths: Sequence[int]
    group_size: int
    device: torch.device
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plan = Varlen().plan(Segments(tuple(self.lengths)), self.device)
        self.queries = _count(len(self.lengths), self.device)

    def first(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        k, v = self.kept[layer] = (k_NHD.to(v_NHD.dtype).contiguous(), v_NHD.contiguous())
        return self.plan(q_NHD, k, v, scale)

    def told(self, layer: int) -> PromptKV:
        """What `first` kept."""
        return PromptKV(*self.kept[layer], self.plan.own_cuts, self.plan.longest[0])

    def look(self, layer: int, q_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """The G rows of a prompt are heads of one query: so the kernel reads its keys once, split over the device."""
        k_NHD, v_NHD, cuts, longest = self.told(layer)
        split = (len(self.lengths), self.group_size, k_NHD.shape[1], -1)  # P, G, Hkv, R
        q_PXD = q_BHD.to(k_NHD.dtype).unflatten(1, (split[2], -1)).unflatten(0, split[:2]).transpose(1, 2).flatten(1, 3)
        return attend_to_sequences(q_PXD, k_NHD, v_NHD, self.queries, cuts, longest, scale)


class RowMemory(Protocol):
    """The tokens drawn so far: `step` [1] counts them, `capacity` is how many a row may have before `grow`."""

    @property
    def step(self) -> Tensor: ...

    @property
    def capacity(self) -> int: ...

    def make_room(self, layer: int, v_NHD: Tensor) -> None:
        """For keys and values of a layer like those of its prompts; what has room keeps it."""
        ...

    def grow(self, capacity: int) -> None:
        """Room for `capacity` tokens a row: new tensors."""
        ...

    def advance(self) -> None:
        """All layers have remembered the step's tokens."""
        ...

    def own(self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Remember one token a row, and attend over all of the row's: output [B, H, D], log-sum-exp [B, H] (fp32)."""
        ...


@dataclass
class PaddedRows:
    """Keys and values [B, Hkv, capacity, D] for matrix products: for a CPU, and as the twin."""

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

    def make_room(self, layer: int, v_NHD: Tensor) -> None:
        if layer not in self.kept:
            shape = (self.rows, v_NHD.shape[1], self.capacity, v_NHD.shape[2])
            self.kept[layer] = (v_NHD.new_zeros(shape), v_NHD.new_zeros(shape))

    def own(self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        self.make_room(layer, v_BHD)
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
    """Keys and values [B, capacity, Hkv, D] for the flash kernels, which are told how many of them count."""

    rows: int
    capacity: int
    device: torch.device
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.step = torch.zeros(1, dtype=torch.long, device=self.device)
        self.used_B = torch.ones(self.rows, dtype=torch.int32, device=self.device)
        self.queries = _count(self.rows, self.device)
        self.cuts = self.queries * self.capacity

    def grow(self, capacity: int) -> None:
        room = (0, 0, 0, 0, 0, capacity - self.capacity)
        self.kept = {n: (pad(k, room), pad(v, room)) for n, (k, v) in self.kept.items()}
        self.capacity, self.cuts = capacity, self.queries * capacity

    def advance(self) -> None:
        self.step.add_(1)
        self.used_B.add_(1)

    def make_room(self, layer: int, v_NHD: Tensor) -> None:
        if layer not in self.kept:
            shape = (self.rows, self.capacity, *v_NHD.shape[1:])
            self.kept[layer] = (v_NHD.new_zeros(shape), v_NHD.new_zeros(shape))

    def remembered(self, layer: int, k_BHD: Tensor, v_BHD: Tensor) -> RowKV:
        """Remember one token a row: all of the row's."""
        self.make_room(layer, v_BHD)
        write_kv(k_BHD, v_BHD, *self.kept[layer], self.step)
        return RowKV(*self.kept[layer], self.used_B)

    def own(self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        keys, values, used_B = self.remembered(layer, k_BHD, v_BHD)
        out_BHD, lse_HB = attend_to_sequences(
            q_BHD.to(keys.dtype), keys.flatten(0, 1), values.flatten(0, 1),
            self.queries, self.cuts, self.capacity, scale, used_B,
        )  # fmt: skip
        return out_BHD, lse_HB.T


def _count(sequences: int, device: torch.device) -> Tensor:
    """The cuts between single queries: 0, 1, ..., sequences."""
    return carried(torch.arange(sequences + 1, dtype=torch.int32), device)


@dataclass
class Memory:
    """`prefill` and `decode` are the contexts of the two kinds of pass; layers that recur keep a state for each row."""

    prompts: PromptMemory
    rows: RowMemory
    lengths: tuple[int, ...]
    group_size: int
    states: dict[int, DeltaState] = field(default_factory=dict)

    @property
    def prefill(self) -> Context:
        return _Prefill(self)

    @property
    def decode(self) -> Context:
        return _Decode(self)


@dataclass(frozen=True)
class _Prefill:
    memory: Memory

    def attend(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        self.memory.rows.make_room(layer, v_NHD)  # not in a step, where a graph would repeat it
        return self.memory.prompts.first(layer, q_NHD, k_NHD, v_NHD, scale)

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        output_NHV, ends = step.prompts(self.memory.lengths)
        self.memory.states[layer] = ends.fork(self.memory.group_size)
        return output_NHV


@dataclass(frozen=True)
class _Decode:
    memory: Memory

    def attend(self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float) -> Tensor:
        """Softmax over the prompt and the row's own tokens: two softmaxes merged by their normalisers.

        Packed memories take `decode_attention` where kernels can be built, torch's flash kernels elsewhere.
        """
        prompts, rows = self.memory.prompts, self.memory.rows
        if isinstance(prompts, PackedPrompts) and isinstance(rows, PackedRows) and uses_triton(q_BHD):
            return decode_attention(q_BHD, prompts.told(layer), rows.remembered(layer, k_BHD, v_BHD), scale)
        on_own = rows.own(layer, q_BHD, k_BHD, v_BHD, scale)
        return _joined(*on_own, *prompts.look(layer, q_BHD, scale), key_heads=k_BHD.shape[1])

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        return step.decode(self.memory.states[layer])


def _joined(own_BHD: Tensor, lse_own_BH: Tensor, prompt_PXD: Tensor, lse_prompt_XP: Tensor, key_heads: int) -> Tensor:
    """What `own` and `look` gave as one softmax, [B, H, D] in the dtype of `own`."""
    group = prompt_PXD.shape[1] // own_BHD.shape[1]

    def by_row(x_PX: Tensor) -> Tensor:
        return x_PX.unflatten(1, (key_heads, group, -1)).transpose(1, 2).flatten(0, 1).flatten(1, 2)

    share = torch.sigmoid(by_row(lse_prompt_XP.T) - lse_own_BH)[..., None]
    return (by_row(prompt_PXD).float() * share + own_BHD.float() * (1 - share)).to(own_BHD.dtype)
