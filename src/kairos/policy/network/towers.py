"""A built model by its parts, in one value: what scoring, sampling and the memory estimate need of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from kairos.core.types import Prompt


@dataclass(frozen=True)
class Seen:
    """The vision tower's features of all video tokens of a batch, in the order of the prompts and of their tokens."""

    tokens_ND: Tensor
    """They replace the embeddings of the video tokens."""
    deeper: tuple[Tensor, ...] = ()
    """Each [N, D]; `deeper[i]` is added to the video tokens behind text layer i."""


class TextTower(Protocol):
    """What scoring and sampling use of transformers' text tower; calling it runs the padded forward pass."""

    embed_tokens: nn.Embedding
    rotary_emb: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    layers: nn.ModuleList
    norm: nn.Module

    def __call__(
        self,
        *,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        attention_mask: Tensor,
        visual_pos_masks: Tensor,
        deepstack_visual_embeds: list[Tensor],
        use_cache: bool,
    ) -> BaseModelOutputWithPast: ...


@dataclass(frozen=True)
class Towers:
    """The parts of one model, found once by its family when the model is built."""

    model: PreTrainedModel
    """The whole model: its parameters, its configuration, its state."""
    text: TextTower
    vision: nn.Module
    """The vision tower, with what merges its patches into tokens."""
    see: Callable[[Sequence[Prompt]], Seen]
    """One pass of the vision tower over all prompts, each of which has a layout. Gradients flow."""
    head: nn.Module
    """Hidden states to logits."""
    video_token: int
    """The id of the token that stands for a piece of a video."""
    banned: tuple[int, ...]
    """Ids of the tokens that no completion may contain."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device
