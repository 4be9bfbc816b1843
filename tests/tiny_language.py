"""A random language policy small enough for tests, and prompts for it, built by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from kairos.core.spans import Span
from kairos.core.types import Origin, Prompt, RolloutBatch, Target, VideoClip
from kairos.policy.language import CompletionScorer, LanguagePolicy
from kairos.policy.mini import MiniConfig
from kairos.policy.processor import LanguageProcessor
from kairos.policy.tokenizer import build_tokenizer

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


def prompts() -> list[Prompt]:
    """Three, of different lengths and sizes of picture, one with an odd number of frames."""
    return [
        prompt("a", "When is the red square visible?"),
        prompt("bb", "When?", clip("bb", frames=5, height=64, width=96, seed=5)),
        prompt("ccc", "At what time does the blue circle move to the left side?", clip("ccc", frames=12, seed=7)),
    ]


def policy(folder: str, scorer: CompletionScorer | None = None, freeze: tuple[str, ...] = ()) -> LanguagePolicy:
    built = LanguagePolicy(LanguageProcessor(folder), config=TINY, scorer=scorer, freeze=freeze, seed=3)
    built.build()
    with torch.no_grad():  # larger than the usual start, so that every part of the model matters
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3.0)
    return built


def batch(
    prompts_: list[Prompt], group_of_B: list[int], lengths: list[int], vocabulary: int, temperature: float = 1.0
) -> RolloutBatch:
    """Random completions of the given lengths; padding holds nonsense that must not matter."""
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
