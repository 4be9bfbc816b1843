"""A gated delta net layer on packed tokens: it projects the tokens, its context runs the recurrence over their past."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from transformers.cache_utils import Cache
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5GatedDeltaNet

from kairos.policy.network.delta_net.backends import Kernels, Torch, automatic
from kairos.policy.network.delta_net.rule import working_bytes
from kairos.policy.network.delta_net.step import DeltaStep
from kairos.policy.network.kernels.checkpoint import recomputed
from kairos.policy.network.kernels.elementwise import gated
from kairos.policy.network.kernels.joint_linear import outputs
from kairos.policy.network.kernels.norms import normed
from kairos.policy.network.text.context import Context


class GatedDeltaNet(Qwen3_5GatedDeltaNet):
    """transformers' layer, which takes packed tokens [1, N, D] where a context is given."""

    kernels: Kernels | None = None
    """The backend of the delta rule; None: `backends.automatic`."""

    @property
    def working_bytes_per_token(self) -> int:
        """Bytes a token that only the layer's own backward pass needs; `recompute` counts them for one layer."""
        plain = isinstance(self._kernels(self.A_log.device), Torch)
        return working_bytes(self.value_dim, self.num_v_heads) if plain else 0

    def _kernels(self, device: torch.device) -> Kernels:
        return automatic(device) if self.kernels is None else self.kernels

    def forward(
        self,
        hidden_states: Tensor,
        cache_params: Cache | None = None,
        attention_mask: Tensor | None = None,
        context: Context | None = None,
        **kwargs: object,
    ) -> Tensor:
        if context is None:
            whole = cast("Callable[..., Tensor]", super().forward)
            return whole(hidden_states, cache_params, attention_mask, **kwargs)
        hidden_ND = hidden_states[0]
        mixed_ND, gate_NV, beta_NH, decay_NH = outputs(
            hidden_ND, self.in_proj_qkv, self.in_proj_z, self.in_proj_b, self.in_proj_a
        )
        step = DeltaStep(
            mixed_ND=mixed_ND,
            decay_NH=-self.A_log.float().exp() * softplus(decay_NH.float() + self.dt_bias),
            beta_NH=beta_NH.sigmoid(),
            weight_DK=self.conv1d.weight.squeeze(1),
            key_width=self.head_k_dim,
            value_width=self.head_v_dim,
            kernels=self._kernels(hidden_ND.device),
        )
        output_NHV = context.recur(self.layer_idx, step)
        normed_NV = recomputed(self._normed, output_NHV, gate_NV.unflatten(1, output_NHV.shape[1:])).flatten(1)
        return outputs(normed_NV, self.out_proj)[0][None]

    def _normed(self, output_NHV: Tensor, gate_NHV: Tensor) -> Tensor:
        """The output of `self.norm`, which on a GPU takes two kernels."""
        gain, epsilon = self.norm.weight.float(), cast("float", self.norm.variance_epsilon)
        return gated(gate_NHV, normed(output_NHV, gain, epsilon, output_NHV.dtype))


def use_packed_delta_nets(model: nn.Module, kernels: Kernels | None) -> None:
    """Turn every gated delta net of the model into a `GatedDeltaNet`; parameters and their names stay."""
    for module in model.modules():
        if isinstance(module, Qwen3_5GatedDeltaNet):
            module.__class__ = GatedDeltaNet
            cast("GatedDeltaNet", module).kernels = kernels
