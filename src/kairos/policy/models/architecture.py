"""States the sizes of a published model, to draw it at random or to estimate its memory without a download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from kairos.policy.models.mini_tokenizer import END, token_id
from kairos.policy.models.weights import SHIPPED

_MARKERS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}


@dataclass(frozen=True)
class Architecture:
    """`(tokenizer) -> PreTrainedConfig`.

    Special tokens get the tokenizer's ids, so that a small tokenizer can lay prompts out for a large vocabulary; those
    that mark images and videos get the ids of `tokens`, where it is given.
    """

    kind: str
    """transformers' `model_type`."""
    text: Mapping[str, object]
    """The keys of `text_config`."""
    vision: Mapping[str, object]
    """The keys of `vision_config`."""
    tied: bool = False
    """The head shares its weight with the embedding."""
    tokens: Mapping[str, int] | None = None
    """Ids of the tokens that mark images and videos, by their keys in the configuration; None: the tokenizer's."""

    def __call__(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
        """ValueError when the tokenizer has more tokens than the model, or lacks a special token."""
        vocabulary = cast("int", self.text["vocab_size"])
        if len(tokenizer) > vocabulary:
            raise ValueError(
                f"the tokenizer {tokenizer.name_or_path} has {len(tokenizer)} tokens, the model only {vocabulary}: "
                "policy and processor.tokenizer do not belong together"
            )
        ids = self.tokens
        if ids is None:
            ids = {name: token_id(tokenizer, token) for name, token in _MARKERS.items()}
        return self._config({"eos_token_id": token_id(tokenizer, END)}, ids)

    def sizes(self) -> PreTrainedConfig:
        """The configuration without token ids: for counting parameters, not for running."""
        return self._config({}, {})

    def _config(self, text: Mapping[str, object], ids: Mapping[str, object]) -> PreTrainedConfig:
        return AutoConfig.for_model(
            self.kind,
            text_config={**self.text, **text, "tie_word_embeddings": self.tied},
            vision_config=dict(self.vision),
            tie_word_embeddings=self.tied,
            **ids,
        )


def tokenizer_of(weights: str, random_weights: bool = False) -> str:
    """Where a policy's tokenizer comes from: its weights, or the shipped mini base where the weights are random.

    >>> tokenizer_of("Qwen/Qwen3-VL-2B-Instruct", random_weights=True)
    'mini_base'
    """
    return SHIPPED if random_weights else weights
