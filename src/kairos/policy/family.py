"""The protocol of a model family: how it lays out a clip, loads its weights and finds its towers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from kairos.core.types import Layout, VideoClip
from kairos.policy.network.layouts import Markers
from kairos.policy.network.towers import Towers
from kairos.video.budget import PixelBudget


class Family(Protocol):
    """One family of video language models. A picklable value, since the loader's workers use `layout`."""

    @property
    def chat_template(self) -> str | None:
        """The family's own (Jinja), whatever the tokenizer has; None: the tokenizer's."""
        ...

    def markers(self, tokenizer: PreTrainedTokenizerBase) -> Markers:
        """How a video stands in a text. ValueError when the tokenizer lacks a token that the family needs."""
        ...

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        """Token ids and positions of the text `before`, the clip, and the text `after`, in this order.

        ValueError when the clip cannot be cut into patches."""
        ...

    def load(self, weights: str) -> PreTrainedModel:
        """The model with the weights of a Hugging Face folder or id."""
        ...

    def create(self, config: PreTrainedConfig) -> PreTrainedModel:
        """The model with random weights, at the sizes of `config`."""
        ...

    def towers(self, model: PreTrainedModel) -> Towers:
        """The parts of a model that `load` or `create` returned."""
        ...

    def hub_processor(
        self, tokenizer: PreTrainedTokenizerBase, chat_template: str, budget: PixelBudget
    ) -> ProcessorMixin | None:
        """transformers' processor that lays prompts out as `layout` does; None where transformers has none.

        ValueError when the chat template writes a video in a way that it would lay out otherwise."""
        ...
