"""What a family of video language models must say about itself; everything else is shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from kairos.core.types import Layout, Prompt, VideoClip


class Markers(NamedTuple):
    """Token ids that stand around and for a video."""

    start: int
    pad: int
    end: int


@dataclass(frozen=True)
class Seen:
    """What the vision tower says of all video tokens of a batch, in the order of the prompts and of their tokens.

    `tokens_ND` replace the embeddings at the video tokens; `deeper[i]` is added there after text layer i.
    """

    tokens_ND: Tensor
    deeper: tuple[Tensor, ...] = ()


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


class Family(Protocol):
    """A picklable value."""

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        """Ids and positions of `before`, the clip and `after`. ValueError when the clip cannot be cut into patches."""
        ...

    def load(self, weights: str) -> PreTrainedModel: ...

    def create(self, config: PreTrainedConfig) -> PreTrainedModel: ...

    def text(self, model: PreTrainedModel) -> TextTower: ...

    def vision(self, model: PreTrainedModel) -> nn.Module: ...

    def head(self, model: PreTrainedModel) -> nn.Module:
        """Hidden states to logits."""
        ...

    def video_token(self, model: PreTrainedModel) -> int: ...

    def banned(self, model: PreTrainedModel) -> tuple[int, ...]:
        """Tokens that no completion may contain."""
        ...

    def see(self, model: PreTrainedModel, prompts: Sequence[Prompt]) -> Seen:
        """One pass of the vision tower over all prompts; every prompt has a layout. Gradients flow."""
        ...


def layout_of(prompt: Prompt) -> Layout:
    """The prompt's layout; ValueError when nobody wrote one."""
    if prompt.layout is None:
        raise ValueError(f"prompt {prompt.uid} has no layout: call the processor on it first")
    return prompt.layout
