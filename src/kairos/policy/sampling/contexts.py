"""The layers' contexts while sampling: in prefill prompts attend to themselves, in decoding rows to prompt and row.

A decode step reads and writes tensors at fixed addresses until the rows' cache grows, and the step's number is a tensor
on the device: so a step can be captured in a CUDA graph.
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
    """What the layers keep of prompts and rows; `prefill` and `decode` are the contexts of the two kinds of pass."""

    prompts: PromptCache
    """Keys and values of the prompts."""
    rows: RowCache
    """Keys and values of the tokens that each row has drawn."""
    lengths: tuple[int, ...]
    """Tokens of each prompt."""
    group_size: int
    """Rows of each prompt."""
    joint: bool = True
    """Attend to both packed caches in one call, `decode_attention`, where its kernels can be built."""
    states: dict[int, DeltaState] = field(default_factory=dict)
    """The state of each gated delta net layer, for every row."""

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
        self.cache.rows.allocate(layer, v_NHD)  # not in a decode step, whose CUDA graph would allocate at every replay
        return self.cache.prompts.prefill(layer, q_NHD, k_NHD, v_NHD, scale)

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        output_NHV, ends = step.prompts(self.cache.lengths)
        self.cache.states[layer] = ends.fork(self.cache.group_size)
        return output_NHV


@dataclass(frozen=True)
class _Decode:
    cache: SamplingCache

    def attend(self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float) -> Tensor:
        """One softmax over the prompt's tokens and the row's own."""
        prompts, rows = self.cache.prompts, self.cache.rows
        joint = self.cache.joint and uses_triton(q_BHD)
        if joint and isinstance(prompts, PackedPrompts) and isinstance(rows, PackedRows):
            return decode_attention(q_BHD, prompts.keys_values(layer), rows.append(layer, k_BHD, v_BHD), scale)
        own = rows.append_and_attend(layer, q_BHD, k_BHD, v_BHD, scale)
        return _merged(*own, *prompts.attend(layer, q_BHD, scale), key_heads=k_BHD.shape[1])

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        return step.decode(self.cache.states[layer])


def _merged(own_BHD: Tensor, lse_own_BH: Tensor, prompt_PXD: Tensor, lse_prompt_XP: Tensor, key_heads: int) -> Tensor:
    """Merge the softmaxes over the row's own tokens and over the prompt by their log-sum-exps.

    [B, H, D] in the dtype of `own`.
    """
    group = prompt_PXD.shape[1] // own_BHD.shape[1]

    def by_row(x_PX: Tensor) -> Tensor:
        return x_PX.unflatten(1, (key_heads, group, -1)).transpose(1, 2).flatten(0, 1).flatten(1, 2)

    share = torch.sigmoid(by_row(lse_prompt_XP.T) - lse_own_BH)[..., None]
    return (by_row(prompt_PXD).float() * share + own_BHD.float() * (1 - share)).to(own_BHD.dtype)
