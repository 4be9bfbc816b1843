"""The sizes of the mini Qwen3-VL: about six million parameters, and every part of a large model."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase, Qwen3VLConfig

from kairos.policy.models.mini_tokenizer import token_id


@dataclass(frozen=True)
class MiniConfig:
    """`(tokenizer) -> Qwen3VLConfig`. The defaults are the shipped base; tests use smaller sizes."""

    hidden: int = 256
    """Width of the text tower."""
    layers: int = 6
    """Text layers."""
    heads: int = 4
    """Query heads of a text layer."""
    key_heads: int = 2
    """Key heads of a text layer, a divisor of `heads`."""
    intermediate: int = 672
    """Inner width of a text layer's MLP."""
    sections: tuple[int, int, int] = (12, 10, 10)
    """Rotary frequencies of time, height and width; a head has twice their sum as its width."""
    vision_hidden: int = 128
    """Width of the vision tower; its MLPs are four times as wide."""
    vision_layers: int = 3
    """Blocks of the vision tower."""
    vision_heads: int = 4
    """Heads of a vision block."""
    deepstack: tuple[int, ...] = (1,)
    """Vision blocks whose features are added behind the first text layers."""
    text_std: float = 0.04
    """Standard deviation of initial text weights. With the 0.02 of large models, and in the vision tower likewise,
    almost nothing of a frame passes, and training stays at the prior for thousands of steps."""
    vision_std: float = 0.06
    """Standard deviation of initial vision weights."""

    def __post_init__(self) -> None:
        if self.heads % self.key_heads:
            raise ValueError(f"heads must be a multiple of key_heads, got {self.heads} and {self.key_heads}")
        if self.deepstack and max(self.deepstack) >= self.vision_layers:
            raise ValueError(f"deepstack {self.deepstack} names a layer beyond the {self.vision_layers} of the tower")

    def __call__(self, tokenizer: PreTrainedTokenizerBase) -> Qwen3VLConfig:
        text = {
            "vocab_size": len(tokenizer),
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "head_dim": 2 * sum(self.sections),
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": list(self.sections),
                "mrope_interleaved": True,
            },
            "eos_token_id": tokenizer.eos_token_id,
            "tie_word_embeddings": True,
            "initializer_range": self.text_std,
        }
        vision = {
            "depth": self.vision_layers,
            "hidden_size": self.vision_hidden,
            "intermediate_size": 4 * self.vision_hidden,
            "num_heads": self.vision_heads,
            "patch_size": 16,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": self.hidden,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": list(self.deepstack),
            "initializer_range": self.vision_std,
        }
        return Qwen3VLConfig(
            text_config=text,
            vision_config=vision,
            tie_word_embeddings=True,
            image_token_id=token_id(tokenizer, "<|image_pad|>"),
            video_token_id=token_id(tokenizer, "<|video_pad|>"),
            vision_start_token_id=token_id(tokenizer, "<|vision_start|>"),
            vision_end_token_id=token_id(tokenizer, "<|vision_end|>"),
        )


def mini_config(tokenizer: PreTrainedTokenizerBase) -> Qwen3VLConfig:
    """The configuration of the shipped mini base, about 6.1 million parameters with a vocabulary of 1,024."""
    return MiniConfig()(tokenizer)
