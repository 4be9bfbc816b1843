"""Scores completions with each prompt computed once per group: [prompt | c1 | ... | cG], exact, gradients included."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.carry import carried
from kairos.core.types import ActionStats, RolloutBatch
from kairos.policy.network.attention.automatic import Automatic
from kairos.policy.network.attention.varlen import Attention, AttentionPlan
from kairos.policy.network.delta_net.step import DeltaStep
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.segments import Segments
from kairos.policy.network.text.forward import run_text, video_places
from kairos.policy.network.text.logprobs import chosen_logprobs, scoring_temperature
from kairos.policy.network.towers import Towers, VideoFeatures
from kairos.policy.scoring.packing import pack
from kairos.policy.scoring.stats import on_rows


@dataclass(frozen=True)
class Scoring:
    """The layers' `Context` while scoring: a row's tokens depend on their prompt and on the row's earlier tokens."""

    segments: Segments
    """Where the prompts and rows lie among the packed tokens."""
    plan: AttentionPlan
    """The attention of these segments."""

    def attend(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        del layer
        return self.plan(q_NHD, k_NHD, v_NHD, scale)

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        del layer
        return step.shared(self.segments)


@dataclass(frozen=True)
class SharedPrefix:
    """`(towers, batch, seen, entropy) -> ActionStats`; a micro-batch counts groups.

    One pass of the text tower computes all tokens. Every completion of a prompt starts at the prompt's largest position
    + 1, and the prompt's last token predicts its first action.
    """

    attn: Attention = field(default_factory=Automatic)
    """The attention kernels."""

    @property
    def unit(self) -> str:
        return "group"

    def __call__(self, towers: Towers, batch: RolloutBatch, seen: VideoFeatures, entropy: bool) -> ActionStats:
        layouts = [layout_of(prompt) for prompt in batch.prompts]
        device = towers.device
        packed = pack(layouts, batch.group_of_B, batch.actions_BA, batch.mask_BA)
        chosen_M = carried(batch.actions_BA.cpu()[packed.row_M, packed.column_M], device)
        places_V = video_places([layout.ids_L for layout in layouts], towers.video_token)
        packed = packed.to(device)
        context = Scoring(packed.segments, self.attn.plan(packed.segments, device))
        hidden_ND = run_text(towers.text, packed.ids_N, packed.positions_3N, seen, context, places_V)
        logprobs_M, entropy_M = chosen_logprobs(
            hidden_ND.index_select(0, packed.predictor_M),
            towers.head,
            chosen_M,
            scoring_temperature(batch.temperature),
            towers.banned,
            entropy,
        )
        return on_rows(logprobs_M, entropy_M, packed.row_M, packed.column_M, torch.Size(batch.actions_BA.shape))
