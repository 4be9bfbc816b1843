"""Forward passes for transformers' text layers, attention and gated MLP: packed tokens, fused elementwise operators.

Modules keep their parameters, names and hooks; only their class changes. Without a `Context` layers and attention run
transformers' own forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from kairos.policy.network.kernels.checkpoint import recomputed
from kairos.policy.network.kernels.dispatch import joinable, only_multiply, pads_widths
from kairos.policy.network.kernels.elementwise import gated, rotated
from kairos.policy.network.kernels.joint_linear import joint_mlp, outputs
from kairos.policy.network.kernels.norms import added
from kairos.policy.network.text.context import Context
from kairos.policy.network.text.norms import FusedNorm

_ALIGNED = 8  # numbers: other widths of a matrix take a GPU's slow kernels


class PackedAttention(nn.Module):
    """Grouped-query attention with rotary positions, and with query and key norms and a gate where the module has
    them."""

    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear
    o_proj: nn.Linear
    head_dim: int
    layer_idx: int
    scaling: float

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        context: Context | None = None,
        **others: object,
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens packed end to end, [1, N, D], attend as `context` says."""
        if context is None:
            return super().forward(
                hidden_states=hidden_states, position_embeddings=position_embeddings, attention_mask=attention_mask,
                **others,
            )  # fmt: skip
        x_ND = hidden_states.squeeze(0)
        qkv = outputs(x_ND, self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (of_ND.unflatten(-1, (-1, self.head_dim)) for of_ND in qkv)
        gate: Tensor | None = None
        if q.shape[1] * self.head_dim == 2 * self.o_proj.in_features:
            q, gate = q.unflatten(1, (-1, 2)).unbind(2)
        if hasattr(self, "q_norm"):
            q, k = cast("nn.Module", self.q_norm)(q), cast("nn.Module", self.k_norm)(k)
        cos_NR, sin_NR = (angles.squeeze(0) for angles in position_embeddings)
        q, k = rotated(q, k, cos_NR, sin_NR)
        out_ND = context.attend(self.layer_idx, q, k, v, self.scaling).flatten(1)
        if gate is not None:
            out_ND = out_ND * gate.flatten(1).sigmoid()
        return outputs(out_ND, self.o_proj)[0][None], None


class Recomputable(nn.Module):
    """A module that, while `recompute` is set, keeps only its input and recomputes the rest in the backward pass."""

    recompute = False

    def forward(self, x: Tensor) -> Tensor:
        return self.maybe_recomputed(super().forward, x)

    def maybe_recomputed(self, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return recomputed(compute, x) if self.recompute else compute(x)


class GatedMLP(Recomputable):
    """down(silu(gate(x)) * up(x)). On a GPU its inner width is padded with zeros to a multiple of 8."""

    gate_proj: nn.Linear
    up_proj: nn.Linear
    down_proj: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        parts = self.gate_proj, self.up_proj, self.down_proj
        pad_columns = -self.gate_proj.out_features % _ALIGNED if pads_widths(x) else 0
        if joinable(x, *parts) or (pad_columns and only_multiply(*parts)):
            return self.joint(x, pad_columns)
        return self.maybe_recomputed(self.apart, x)

    def joint(self, x: Tensor, pad_columns: int) -> Tensor:
        """As one operator, with `pad_columns` zeros behind the outputs of gate and up."""
        return joint_mlp(x, self.gate_proj, self.up_proj, self.down_proj, self.recompute, pad_columns)

    def apart(self, x: Tensor) -> Tensor:
        """Layer by layer."""
        return outputs(gated(self.gate_proj(x), self.up_proj(x)), self.down_proj)[0]


class PackedLayer(nn.Module):
    """A pre-norm layer: attention or a delta net, then an MLP, each added to the residual stream."""

    input_layernorm: nn.Module
    post_attention_layernorm: FusedNorm
    mlp: nn.Module

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        context: Context | None = None,
        **others: object,
    ) -> Tensor:
        """Tokens packed end to end, [1, N, D], attend or recur as `context` says."""
        if context is None:
            return super().forward(hidden_states, position_embeddings=position_embeddings, **others)
        x = self.input_layernorm(hidden_states)
        if hasattr(self, "linear_attn"):
            x = cast("nn.Module", self.linear_attn)(x, context=context)
        else:
            x, _ = cast("nn.Module", self.self_attn)(x, position_embeddings, context=context)
        hidden_states, x = self.post_attention_layernorm.add_and_norm(hidden_states, x)
        return added(hidden_states, self.mlp(x))
