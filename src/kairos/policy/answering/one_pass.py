"""Answers by the likeliest letter: one pass over all prompts, which keeps no keys and values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kairos.core.carry import carried
from kairos.core.types import Layout, Reply
from kairos.policy.answering.letters import Letters
from kairos.policy.network.attention.automatic import Automatic
from kairos.policy.network.segments import Segments
from kairos.policy.network.text.forward import run_text, video_places
from kairos.policy.network.towers import Towers, VideoFeatures
from kairos.policy.scoring.shared_prefix import Scoring


def likeliest_letters(
    towers: Towers, layouts: Sequence[Layout], letters: Sequence[Letters], seen: VideoFeatures
) -> list[Reply]:
    """A reply for each layout, which ends before the letter. Probabilities are among the options' letters alone."""
    device = towers.device
    segments = Segments(tuple(len(layout) for layout in layouts))
    hidden_ND = run_text(
        towers.text,
        carried(torch.cat([layout.ids_L for layout in layouts]), device),
        carried(torch.cat([layout.positions_3L for layout in layouts], dim=1), device),
        seen,
        Scoring(segments, Automatic().plan(segments, device)),
        video_places([layout.ids_L for layout in layouts], towers.video_token),
    )
    last_B = carried(torch.tensor(segments.prompts).cumsum(0) - 1, device)
    logits_BV = towers.head(hidden_ND.index_select(0, last_B))
    tokens_BO = pad_sequence([torch.tensor(one.tokens) for one in letters], batch_first=True)
    logits_BO = logits_BV.gather(1, carried(tokens_BO, device)).float().cpu()
    return [_reply(one, logits_O[: len(one.tokens)]) for one, logits_O in zip(letters, logits_BO, strict=True)]


def _reply(letters: Letters, logits_O: Tensor) -> Reply:
    probs_O = logits_O.softmax(-1)
    return Reply(letters.texts[int(probs_O.argmax())], probs_O)
