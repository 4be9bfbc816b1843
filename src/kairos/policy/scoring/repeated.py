"""Scores completions the obvious way: every row is its own [prompt | completion], padded right. The slow twin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from kairos.core.types import ActionStats, RolloutBatch
from kairos.policy.families.base import Family, Seen, layout_of
from kairos.policy.logprobs import chosen_logprobs, scoring_temperature
from kairos.policy.scoring.stats import on_rows


@dataclass(frozen=True)
class Repeated:
    """`(model, family, batch, seen, entropy) -> ActionStats` with transformers' tower; a micro-batch counts rows."""

    @property
    def unit(self) -> str:
        return "row"

    def __call__(
        self, model: PreTrainedModel, family: Family, batch: RolloutBatch, seen: Seen, entropy: bool
    ) -> ActionStats:
        text = family.text(model)
        device = text.embed_tokens.weight.device
        actions_BA, mask_BA = batch.actions_BA.cpu(), batch.mask_BA.cpu() > 0
        video = family.video_token(model)
        layouts = [layout_of(prompt) for prompt in batch.prompts]
        counts = [int((layout.ids_L == video).sum()) for layout in layouts]
        starts = [sum(counts[:p]) for p in range(len(counts))]

        ids, positions, features, predictors, rows, columns = [], [], [], [], [], []
        for row, group in enumerate(batch.group_of_B.tolist()):
            layout = layouts[group]
            length = int(mask_BA[row].nonzero().max()) + 1 if mask_BA[row].any() else 0
            after = layout.positions_3L.max() + 1 + torch.arange(length)
            ids.append(torch.cat([layout.ids_L, actions_BA[row, :length]]))
            positions.append(torch.cat([layout.positions_3L, after.expand(3, -1)], dim=1).T)
            features.append(torch.arange(starts[group], starts[group] + counts[group]))
            for column in mask_BA[row].nonzero().flatten().tolist():
                rows.append(row)
                columns.append(column)
                predictors.append(len(layout) + column - 1)
        ids_BL = pad_sequence(ids, batch_first=True, padding_value=0).to(device)
        positions_3BL = pad_sequence(positions, batch_first=True).permute(2, 0, 1).to(device)
        real_BL = pad_sequence([torch.ones(len(x)) for x in ids], batch_first=True).to(device)
        feature = torch.cat(features).to(device)
        is_video = (ids_BL == video) & real_BL.bool()

        embedded = text.embed_tokens(ids_BL).float()
        embedded = embedded.masked_scatter(is_video[..., None], seen.tokens_ND[feature].to(embedded.dtype))
        hidden_BLD = text(
            inputs_embeds=embedded,
            position_ids=positions_3BL,
            attention_mask=real_BL,
            visual_pos_masks=is_video,
            deepstack_visual_embeds=[deep[feature] for deep in seen.deeper],
            use_cache=False,
        ).last_hidden_state
        assert hidden_BLD is not None
        row_M, column_M = (torch.tensor(x, dtype=torch.long, device=device) for x in (rows, columns))
        logprobs_M, entropy_M = chosen_logprobs(
            hidden_BLD[row_M, torch.tensor(predictors, dtype=torch.long, device=device)],
            family.head(model),
            actions_BA.to(device)[row_M, column_M],
            scoring_temperature(batch.temperature),
            family.banned(model),
            entropy,
        )
        return on_rows(logprobs_M, entropy_M, row_M, column_M, torch.Size(actions_BA.shape))
