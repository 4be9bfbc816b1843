"""What the layers see while sampling: prompts see themselves, a drawn token sees its prompt and its row.

All tensors that a decode step reads or writes stay where they are until the rows' cache grows, so that a step can be
captured in a CUDA graph; which token it draws is a number on the device.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.policy.network.attention.decode import decode_attention
from kairos.policy.network.delta_net.step import DeltaState, DeltaStep
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.network.text.context import Context
from kairos.policy.sampling.prompt_cache import PackedPrompts, PromptCache
from kairos.policy.sampling.row_cache import PackedRows, RowCache


@dataclass
class SamplingCache:
    """`prefill` and `decode` are the contexts of the two kinds of pass.

    With `joint`, packed caches are looked at in one call, `decode_attention`, where its kernels can be built; else each
    by itself. Layers that recur keep a state for each row.
    """

    prompts: PromptCache
    rows: RowCache
    lengths: tuple[int, ...]
    group_size: int
    joint: bool = True
    states: dict[int, DeltaState] = field(default_factory=dict)

    @property
    def prefill(self) -> Context:
        return _Prefill(self)

    @property
    def decode(self) -> Context:
        return _Decode(self)


@dataclass(frozen=True)
class _Prefill:
    cache: SamplingCache

    def attend(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        self.cache.rows.allocate(layer, v_NHD)  # not in a step, where a graph would repeat it
        return self.cache.prompts.prefill(layer, q_NHD, k_NHD, v_NHD, scale)

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        output_NHV, ends = step.prompts(self.cache.lengths)
        self.cache.states[layer] = ends.fork(self.cache.group_size)
        return output_NHV


@dataclass(frozen=True)
class _Decode:
    cache: SamplingCache

    def attend(self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float) -> Tensor:
        """Softmax over the prompt and the row's own tokens, as one."""
        prompts, rows = self.cache.prompts, self.cache.rows
        joint = self.cache.joint and uses_triton(q_BHD)
        if joint and isinstance(prompts, PackedPrompts) and isinstance(rows, PackedRows):
            return decode_attention(q_BHD, prompts.keys_values(layer), rows.append(layer, k_BHD, v_BHD), scale)
        on_own = rows.append_and_attend(layer, q_BHD, k_BHD, v_BHD, scale)
        return _merged(*on_own, *prompts.attend(layer, q_BHD, scale), key_heads=k_BHD.shape[1])

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        return step.decode(self.cache.states[layer])


def _merged(own_BHD: Tensor, lse_own_BH: Tensor, prompt_PXD: Tensor, lse_prompt_XP: Tensor, key_heads: int) -> Tensor:
    """Two softmaxes as one, merged by their normalisers: [B, H, D] in the dtype of `own`."""
    group = prompt_PXD.shape[1] // own_BHD.shape[1]

    def by_row(x_PX: Tensor) -> Tensor:
        return x_PX.unflatten(1, (key_heads, group, -1)).transpose(1, 2).flatten(0, 1).flatten(1, 2)

    share = torch.sigmoid(by_row(lse_prompt_XP.T) - lse_own_BH)[..., None]
    return (by_row(prompt_PXD).float() * share + own_BHD.float() * (1 - share)).to(own_BHD.dtype)
