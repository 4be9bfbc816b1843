"""Runs a text tower over packed tokens, with video features in place of the video tokens' embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kairos.core.carry import carried
from kairos.policy.network.text.context import Context
from kairos.policy.network.towers import TextTower, VideoFeatures


def run_text(
    text: TextTower,
    ids_N: Tensor,
    positions_3N: Tensor,
    seen: VideoFeatures | None,
    context: Context,
    places_V: Tensor | None = None,
) -> Tensor:
    """Final hidden states [N, D] of tokens packed end to end. `places_V`, from `video_places`, are the indices of the
    video tokens, which take the features `seen`; both are None where there are no video tokens.

    The residual stream is fp32 whatever the weights are. Layers are called as modules, so that sharding and
    checkpointing hooks see them.
    """
    hidden_ND = text.embed_tokens(ids_N).float()
    where = places_V if places_V is None else carried(places_V, ids_N.device)
    if seen is not None and where is not None:
        hidden_ND = hidden_ND.index_copy(0, where, seen.tokens_ND.to(hidden_ND.dtype))
    rotary = text.rotary_emb(hidden_ND[None], positions_3N[:, None])
    for number, layer in enumerate(text.layers):
        hidden_1ND = layer(hidden_ND[None], position_embeddings=rotary, attention_mask=None, context=context)
        hidden_ND = hidden_1ND.squeeze(0)
        if seen is not None and where is not None and number < len(seen.deepstack):
            hidden_ND = hidden_ND.index_add(0, where, seen.deepstack[number].to(hidden_ND.dtype))
    return text.norm(hidden_ND)


def video_places(ids: Sequence[Tensor], video: int) -> Tensor:
    """Indices of the video tokens among prompts packed end to end, int64 [V], found on the CPU without a sync."""
    return (torch.cat(list(ids)) == video).nonzero().squeeze(1)
