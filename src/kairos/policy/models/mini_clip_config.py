"""The sizes of the mini CLIP, and its tokenizer: the mini base's with a begin and an end token around each text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, CLIPConfig, PreTrainedTokenizerBase

from kairos.policy.models.mini_tokenizer import END, token_id
from kairos.policy.models.weights import SHIPPED, locate

BEGIN = "<|im_start|>"


@dataclass(frozen=True)
class MiniClipConfig:
    """`(tokenizer) -> CLIPConfig`. The defaults are the shipped mini CLIP; tests use smaller sizes."""

    width: int = 128
    """Of both towers and of the projection; their MLPs are four times as wide."""
    layers: int = 3
    """Of each tower."""
    heads: int = 4
    """Of each tower."""
    patch: int = 16
    """Side of a patch in pixels; frames are 64x64."""
    length: int = 32
    """The most tokens of a text, begin and end included."""

    def __post_init__(self) -> None:
        if self.width % self.heads or 64 % self.patch:
            raise ValueError(
                f"width must be a multiple of heads, and 64 of patch, got {self.width}, {self.heads}, {self.patch}"
            )

    def __call__(self, tokenizer: PreTrainedTokenizerBase) -> CLIPConfig:
        tower = {
            "hidden_size": self.width,
            "intermediate_size": 4 * self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "projection_dim": self.width,
        }
        text = {
            "vocab_size": len(tokenizer),
            "max_position_embeddings": self.length,
            "bos_token_id": token_id(tokenizer, BEGIN),
            "eos_token_id": token_id(tokenizer, END),
            "pad_token_id": tokenizer.pad_token_id,
        }
        vision = {"image_size": 64, "patch_size": self.patch}
        return CLIPConfig(text_config=tower | text, vision_config=tower | vision, projection_dim=self.width)


def clip_tokenizer(length: int = 32) -> PreTrainedTokenizerBase:
    """The mini base's tokenizer, which then writes begin and end tokens itself, as CLIP's does; at most `length`."""
    tokenizer = AutoTokenizer.from_pretrained(locate(SHIPPED).base)
    backend = cast("Tokenizer", tokenizer.backend_tokenizer)
    marks = [(token, token_id(tokenizer, token)) for token in (BEGIN, END)]
    backend.post_processor = TemplateProcessing(single=f"{BEGIN} $A {END}", special_tokens=marks)
    tokenizer.model_max_length, tokenizer.chat_template = length, None
    return tokenizer
