"""Scores completions with the prompt repeated: every row is its own [prompt | completion], padded right.

The slow twin of `shared_prefix`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kairos.core.carry import carried
from kairos.core.types import ActionStats, RolloutBatch
from kairos.policy.network.attention.varlen import Attention
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.text.logprobs import chosen_logprobs, scoring_temperature
from kairos.policy.network.towers import Towers, VideoFeatures
from kairos.policy.scoring.shared_prefix import SharedPrefix
from kairos.policy.scoring.stats import on_rows


@dataclass(frozen=True)
class Repeated:
    """`(towers, batch, seen, entropy) -> ActionStats`; a micro-batch counts rows.

    Without `attn` it runs transformers' own text tower on padded rows.
    """

    attn: Attention | None = None
    """Where given, rows are packed and take the kernels of `SharedPrefix`, so that benchmarks compare layouts alone."""

    @property
    def unit(self) -> str:
        return "row"

    def __call__(self, towers: Towers, batch: RolloutBatch, seen: VideoFeatures, entropy: bool) -> ActionStats:
        if self.attn is None:
            return _padded(towers, batch, seen, entropy)
        by_row = per_row(seen, batch, towers.video_token)
        return SharedPrefix(self.attn)(towers, unshared(batch), by_row, entropy)


def unshared(batch: RolloutBatch) -> RolloutBatch:
    """The same rows, each with its own copy of the prompt: P becomes B."""
    groups = batch.group_of_B.tolist()
    return replace(batch, prompts=tuple(batch.prompts[group] for group in groups), group_of_B=torch.arange(len(groups)))


def per_row(seen: VideoFeatures, batch: RolloutBatch, video: int) -> VideoFeatures:
    """The video features of each row's prompt, row after row; `video` is the id of the video token."""
    counts = [int((layout_of(prompt).ids_L == video).sum()) for prompt in batch.prompts]
    parts = [torch.arange(count) + sum(counts[:p]) for p, count in enumerate(counts)]
    index = carried(torch.cat([parts[group] for group in batch.group_of_B.tolist()]), seen.tokens_ND.device)

    def pick(tokens_ND: Tensor) -> Tensor:
        return tokens_ND.index_select(0, index)

    return VideoFeatures(pick(seen.tokens_ND), tuple(pick(deep) for deep in seen.deepstack))


def _padded(towers: Towers, batch: RolloutBatch, seen: VideoFeatures, entropy: bool) -> ActionStats:
    text, video, device = towers.text, towers.video_token, towers.device
    actions_BA, mask_BA = batch.actions_BA.cpu(), batch.mask_BA.cpu() > 0
    layouts = [layout_of(prompt) for prompt in batch.prompts]
    ids, positions, predictors, rows, columns = [], [], [], [], []
    for row, group in enumerate(batch.group_of_B.tolist()):
        layout = layouts[group]
        length = int(mask_BA[row].nonzero().max()) + 1 if mask_BA[row].any() else 0
        after = layout.positions_3L.max() + 1 + torch.arange(length)
        ids.append(torch.cat([layout.ids_L, actions_BA[row, :length]]))
        positions.append(torch.cat([layout.positions_3L, after.expand(3, -1)], dim=1).T)
        for column in mask_BA[row].nonzero().flatten().tolist():
            rows.append(row)
            columns.append(column)
            predictors.append(len(layout) + column - 1)
    ids_BL = carried(pad_sequence(ids, batch_first=True, padding_value=0), device)
    positions_3BL = carried(pad_sequence(positions, batch_first=True).permute(2, 0, 1), device)
    real_BL = carried(pad_sequence([torch.ones(len(x)) for x in ids], batch_first=True), device)
    by_row = per_row(seen, batch, video)
    is_video = (ids_BL == video) & real_BL.bool()

    embedded = text.embed_tokens(ids_BL).float()
    embedded = embedded.masked_scatter(is_video[..., None], by_row.tokens_ND.to(embedded.dtype))
    hidden_BLD = text(
        inputs_embeds=embedded,
        position_ids=positions_3BL,
        attention_mask=real_BL,
        visual_pos_masks=is_video,
        deepstack_visual_embeds=list(by_row.deepstack),
        use_cache=False,
    ).last_hidden_state
    assert hidden_BLD is not None
    row_M, column_M = (torch.tensor(x, dtype=torch.long, device=device) for x in (rows, columns))
    logprobs_M, entropy_M = chosen_logprobs(
        hidden_BLD[row_M, torch.tensor(predictors, dtype=torch.long, device=device)],
        towers.head,
        carried(actions_BA, device)[row_M, column_M],
        scoring_temperature(batch.temperature),
        towers.banned,
        entropy,
    )
    return on_rows(logprobs_M, entropy_M, row_M, column_M, torch.Size(actions_BA.shape))
