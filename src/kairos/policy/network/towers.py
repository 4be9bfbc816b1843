"""The parts of a built model as one value, which scoring, sampling and the memory estimate use."""

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
class VideoFeatures:
    """The vision tower's features of all video tokens of a batch, in the order of the prompts and of their tokens."""

    tokens_ND: Tensor
    """Replace the embeddings of the N video tokens."""
    deepstack: tuple[Tensor, ...] = ()
    """Each [N, D]; `deepstack[i]` is added to the video tokens' hidden states after text layer i."""


class TextTower(Protocol):
    """The part of transformers' text tower that scoring and sampling use; calling it runs the padded forward pass."""

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
    """The parts of one model. Its family finds them once, when the model is built."""

    model: PreTrainedModel
    """The whole model, for its parameters, its configuration and its state."""
    text: TextTower
    vision: nn.Module
    """The vision tower, with the merger that turns patches into tokens."""
    see: Callable[[Sequence[Prompt]], VideoFeatures]
    """Runs the vision tower once over all prompts, each of which has a layout. Gradients flow."""
    head: nn.Module
    """Maps hidden states to logits."""
    video_token: int
    """The id of the token that stands for a piece of a video."""
    banned: tuple[int, ...]
    """Ids of the tokens that no completion may contain."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device
