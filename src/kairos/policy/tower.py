"""One pass of a family's text tower over packed tokens, with the video's features in place."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kairos.policy.attention import Context
from kairos.policy.families.base import Family, Seen


def run_text(
    model: PreTrainedModel, family: Family, ids_N: Tensor, positions_3N: Tensor, seen: Seen | None, context: Context
) -> Tensor:
    """Final hidden states [N, D] of tokens packed end to end; `seen` is None where no token stands for video.

    The residual stream is fp32 whatever the weights are. Layers are called as modules, so that sharding and
    checkpointing hooks see them.
    """
    text = family.text(model)
    hidden_ND = text.embed_tokens(ids_N).float()
    where = torch.empty(0, dtype=torch.long, device=ids_N.device)
    if seen is not None:
        where = (ids_N == family.video_token(model)).nonzero().squeeze(1)
        hidden_ND = hidden_ND.index_copy(0, where, seen.tokens_ND.to(hidden_ND.dtype))
    rotary = text.rotary_emb(hidden_ND[None], positions_3N[:, None])
    for number, layer in enumerate(text.layers):
        hidden_1ND = layer(hidden_ND[None], position_embeddings=rotary, attention_mask=None, context=context)
        hidden_ND = hidden_1ND[0]
        if seen is not None and number < len(seen.deeper):
            hidden_ND = hidden_ND.index_add(0, where, seen.deeper[number].to(hidden_ND.dtype))
    return text.norm(hidden_ND)
