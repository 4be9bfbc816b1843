"""The attention of the vision towers: a patch attends to its own segment (a temporal patch or a window) only."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kairos.policy.network.attention.within_segments import Stretch, attend_within
from kairos.policy.network.kernels.elementwise import rotated
from kairos.policy.network.kernels.joint_linear import outputs


class WithinSegments(nn.Module):
    """Forward pass for transformers' vision attention on patches packed end to end, with a fused rotary embedding."""

    qkv: nn.Linear
    proj: nn.Linear
    num_heads: int
    scaling: float

    def forward(
        self,
        hidden_states: Tensor,
        cu_seqlens: Tensor | None = None,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        segments: Sequence[Stretch] | None = None,
        **others: object,
    ) -> Tensor:
        """Patches [N, D] attend inside `segments`; without `segments`, as transformers computes it."""
        if segments is None or position_embeddings is None:
            return super().forward(
                hidden_states=hidden_states, cu_seqlens=cu_seqlens, position_embeddings=position_embeddings, **others
            )
        q, k, v = outputs(hidden_states, self.qkv)[0].unflatten(-1, (3, self.num_heads, -1)).unbind(1)
        q, k = rotated(q, k, *position_embeddings)
        return outputs(attend_within(q, k, v, self.scaling, segments).flatten(1), self.proj)[0]
