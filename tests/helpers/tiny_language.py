"""Random language policies small enough for tests, one of every family, and prompts for them, built by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path

import torch
from helpers.tiny_hybrid import HYBRID, forget_slowly
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from kairos.core.spans import Span
from kairos.core.types import Origin, Prompt, RolloutBatch, Target, VideoClip
from kairos.policy.families.llava_onevision import LlavaOnevision
from kairos.policy.families.qwen2_5_vl import Qwen25VL
from kairos.policy.families.qwen3_5 import Qwen35
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.family import Family
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.architecture import Architecture
from kairos.policy.models.lora import LoRA
from kairos.policy.models.mini_config import MiniConfig
from kairos.policy.models.mini_tokenizer import build_tokenizer
from kairos.policy.processor import LanguageProcessor
from kairos.policy.scoring.scorer import CompletionScorer

TEXTS = [
    "When is the red square visible? Answer with the seconds.",
    "At what time does the blue circle move to the left side of the picture?",
    "<think>It appears at 3.5 and leaves at 6.0 seconds.</think><answer>3.5 to 6.0</answer>",
    "<answer>B 12.5 to 14.0</answer> The green triangle is shown. Which event happens first?",
] * 20

TINY = MiniConfig(
    hidden=64, layers=3, heads=4, key_heads=2, intermediate=96, sections=(4, 2, 2),
    vision_hidden=32, vision_layers=2, vision_heads=2, deepstack=(0, 1),
)  # fmt: skip

WINDOWED = Architecture(
    kind="qwen2_5_vl",
    text={
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]},
    },
    vision={
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64,
        "tokens_per_second": 2, "window_size": 56, "fullatt_block_indexes": [1],
    },
)  # fmt: skip
"""A Qwen2.5-VL whose windows are 2x2 tokens, so that they do not divide 2x3 of them."""

LLAVA = Architecture(
    kind="llava_onevision",
    text={
        "vocab_size": 520, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    vision={
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 42, "patch_size": 14, "vision_use_head": False,
    },
    tokens={"image_token_id": 517, "video_token_id": 518},
)  # fmt: skip
"""Frames of 3x3 patches, which are pooled to 2x2 tokens, with a newline behind each row."""


@dataclass(frozen=True)
class Tiny:
    """A family at test size. `token` is the side of a token in pixels; `after` changes the drawn weights."""

    family: Family
    config: Callable[[PreTrainedTokenizerBase], PreTrainedConfig]
    token: int = 32
    after: Callable[[LanguagePolicy], None] = lambda built: None

    def policy(
        self,
        folder: str,
        scorer: CompletionScorer | None = None,
        freeze: tuple[str, ...] = (),
        recompute: str = "none",
        adapter: LoRA | None = None,
    ) -> LanguagePolicy:
        """Weights larger than usual initial ones, so that every part of the model affects the result."""
        built = LanguagePolicy(
            LanguageProcessor(folder, family=self.family), config=self.config, scorer=scorer, freeze=freeze,
            recompute=recompute, adapter=adapter, seed=3,
        )  # fmt: skip
        built.build()
        with torch.no_grad():
            for name, parameter in built.named_parameters():
                if "lora_B" in name:  # zero at first: nothing would reach the other matrix
                    parameter.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(len(name)))
                elif parameter.ndim > 1:
                    parameter.mul_(3.0)
        self.after(built)
        return built

    def prompts(self) -> list[Prompt]:
        return prompts(self.token)

    def with_single_frames(self) -> Tiny:
        """Its family with every frame as a patch of its own."""
        assert is_dataclass(self.family)
        return replace(self, family=replace(self.family, single_frames=True))


FAMILIES: Mapping[str, Tiny] = {
    "qwen2_5_vl": Tiny(Qwen25VL(), WINDOWED, token=28),
    "qwen3_vl": Tiny(Qwen3VL(), TINY),
    "qwen3_5": Tiny(Qwen35(), HYBRID, after=forget_slowly),
    "llava_onevision": Tiny(LlavaOnevision(side=42, video_token=518), LLAVA, token=28),
}
"""Every family, each in one line; all of tests/equivalence runs on each."""


@dataclass(frozen=True)
class Wording:
    """A template with the fewest words."""

    grammar: None = None

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        return [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": prompt.question}]}]

    def answer(self, target: Target) -> str:
        return f"<answer>{target.spans[0].start:.1f} to {target.spans[0].end:.1f}</answer>"

    def well_formed(self, text: str) -> bool:
        return text.startswith("<answer>")


def tokenizer_folder(folder: Path) -> str:
    return str(build_tokenizer(TEXTS, folder, vocabulary=512))


def clip(uid: str, frames: int = 8, height: int = 64, width: int = 64, seed: int = 0, fps: float = 2.0) -> VideoClip:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=generator)
    return VideoClip(uid, pixels, torch.arange(frames, dtype=torch.float64) / fps, frames / fps)


def prompt(uid: str, question: str, video: VideoClip | None = None) -> Prompt:
    return Prompt(
        uid=uid,
        task="grounding",
        source="tiny",
        clip=clip(uid, seed=len(uid)) if video is None else video,
        question=question,
        target=Target(spans=(Span(1.0, 2.5),)),
        template=Wording(),
    )


def prompts(token: int = 32) -> list[Prompt]:
    """Three prompts whose clips differ in length and frame size, one with an odd number of frames."""
    side = 2 * token
    return [
        prompt("a", "When is the red square visible?", clip("a", height=side, width=side, seed=1)),
        prompt("bb", "When?", clip("bb", frames=5, height=side, width=side + token, seed=5)),
        prompt(
            "ccc",
            "At what time does the blue circle move to the left side?",
            clip("ccc", frames=12, height=side, width=side, seed=7),
        ),
    ]


def policy(folder: str, scorer: CompletionScorer | None = None, freeze: tuple[str, ...] = ()) -> LanguagePolicy:
    """A tiny Qwen3-VL, for tests that hold for any family."""
    return FAMILIES["qwen3_vl"].policy(folder, scorer, freeze)


def batch(
    prompts_: list[Prompt], group_of_B: list[int], lengths: list[int], vocabulary: int, temperature: float = 1.0
) -> RolloutBatch:
    """Random completions of the given lengths; padding holds random tokens, which must not matter."""
    generator = torch.Generator().manual_seed(11)
    rows, width = len(lengths), max(lengths)
    actions = torch.randint(7, vocabulary - 20, (rows, width), generator=generator)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).float()
    return RolloutBatch(
        prompts=tuple(prompts_),
        group_of_B=torch.tensor(group_of_B),
        actions_BA=actions,
        mask_BA=mask,
        origin_B=torch.full((rows,), int(Origin.POLICY)),
        advantages_B=torch.randn(rows, generator=generator),
        weights_B=torch.ones(rows),
        temperature=temperature,
    )
