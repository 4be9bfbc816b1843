"""Helpers of the speed benchmarks: a policy with random weights, prompts of a given size, timing, floors, results."""

from __future__ import annotations

import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedConfig

from kairos.compose import compose, part
from kairos.core.spans import Span
from kairos.core.types import Origin, Prompt, RolloutBatch, Target, Template, VideoClip
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.layouts import layout_of

PEAK = 790e12  # bf16 FLOP/s that large matrix products reach on an H200; floors are counted at this


@dataclass(frozen=True)
class Clip:
    """A clip of noise: `frames` of `height` x `width` pixels, two a second."""

    frames: int
    height: int
    width: int

    def __call__(self, seed: int) -> VideoClip:
        noise = torch.Generator().manual_seed(seed)
        pixels = torch.randint(0, 256, (self.frames, 3, self.height, self.width), dtype=torch.uint8, generator=noise)
        seconds = torch.arange(self.frames, dtype=torch.float64) / 2
        return VideoClip(f"noise-{seed}", pixels, seconds, self.frames / 2)


def policy(model: str, device: torch.device, overrides: Sequence[str] = ()) -> LanguagePolicy:
    """conf/policy/<model> with random weights, drawn on the device."""
    random = [] if model.startswith("mini") else ["policy.random_weights=true"]
    built = cast("LanguagePolicy", part(compose([f"policy={model}", *random, *overrides]).policy))
    with device:
        built.build()
    return built.to(device)


def prompts(language: LanguagePolicy, clip: Clip, count: int, first: int = 0) -> list[Prompt]:
    """Laid-out prompts about different clips."""
    template = cast("Template", AnswerOnly())
    made = []
    for number in range(first, first + count):
        prompt = Prompt(
            uid=f"noise-{number}", task="grounding", source="noise", clip=clip(number),
            question="the person puts the cup down and walks to the door", target=Target(spans=(Span(2.0, 5.0),)),
            template=template,
        )  # fmt: skip
        made.append(replace(prompt, layout=language.processor(prompt)))
    return made


def rollouts(language: LanguagePolicy, prompts_: Sequence[Prompt], group: int, length: int) -> RolloutBatch:
    """`group` completions of `length` random tokens for each prompt, none of them banned."""
    banned = set(language.towers.banned)
    words = torch.tensor([word for word in range(config_of(language).vocab_size) if word not in banned])
    rows = len(prompts_) * group
    noise = torch.Generator().manual_seed(1)
    return RolloutBatch(
        prompts=tuple(prompts_),
        group_of_B=torch.arange(len(prompts_)).repeat_interleave(group),
        actions_BA=words[torch.randint(len(words), (rows, length), generator=noise)],
        mask_BA=torch.ones(rows, length),
        origin_B=torch.full((rows,), int(Origin.POLICY)),
        advantages_B=torch.randn(rows, generator=noise),
        weights_B=torch.ones(rows),
    )


def config_of(language: LanguagePolicy) -> PreTrainedConfig:
    """The sizes of the text tower."""
    return language.towers.model.config.get_text_config()


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: torch.device, repeats: int, warm: int = 1) -> float:
    """The median of `repeats`, in seconds, after `warm` calls that do not count."""
    for _ in range(warm):
        work()
    taken = []
    for _ in range(repeats):
        wait(device)
        begun = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def emptied(device: torch.device) -> None:
    """Free what nothing refers to, and count the peak from now on; nothing on a CPU."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> int:
    """Peak of allocated bytes since `emptied`; 0 on a CPU, where torch does not count them."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def held(language: LanguagePolicy) -> int:
    """Bytes of the weights and of the gradients that exist."""
    parameters = list(language.parameters())
    gradients = sum(p.grad.numel() * p.grad.element_size() for p in parameters if p.grad is not None)
    return gradients + sum(p.numel() * p.element_size() for p in parameters)


def copies(language: LanguagePolicy) -> int:
    """Bytes of the bf16 copies of trained matrices on a GPU: an upper bound where layers are recomputed."""
    matrices = [m.weight for m in language.modules() if isinstance(m, nn.Linear)]
    return sum(2 * w.numel() for w in matrices if w.is_cuda and w.requires_grad and w.dtype == torch.float32)


@dataclass(frozen=True)
class Work:
    """Floating-point operations of one forward pass over a group's unique tokens, in the text tower and its head."""

    matrices: float
    """Products of the text layers' weights."""
    attention: float
    """Products of queries, keys and values."""
    head: float
    """Products of the head's weight."""

    @property
    def update(self) -> float:
        """Forward and backward: three times the forward pass."""
        return 3 * (self.matrices + self.attention + self.head)


def work(language: LanguagePolicy, prompt: int, group: int, length: int) -> Work:
    """Operations for `prompt` tokens once and `group` rows of `length` tokens, of which the last is not fed."""
    text = language.towers.text
    matrices = [m for layer in text.layers for m in layer.modules() if isinstance(m, nn.Linear)]
    fed = length - 1
    tokens = prompt + group * fed
    pairs = prompt**2 / 2 + group * fed * (prompt + fed / 2)
    config = config_of(language)
    head = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    return Work(
        matrices=2.0 * tokens * sum(m.in_features * m.out_features for m in matrices),
        attention=4.0 * pairs * int(config.num_attention_heads) * head * len(text.layers),
        head=2.0 * group * length * int(config.vocab_size) * int(config.hidden_size),
    )


def video_tokens(language: LanguagePolicy, prompt: Prompt) -> int:
    """How many of the prompt's tokens stand for video."""
    return int((layout_of(prompt).ids_L == language.towers.video_token).sum())


def machine(device: torch.device) -> dict[str, object]:
    """Hardware and versions, to be stored with a result."""
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": named,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "python": platform.python_version(),
    }


def iteration_of(run: Path, number: int) -> dict[str, float]:
    """The metrics that a run logged in one iteration."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    return next(row for row in rows if row["iteration"] == number and "time/iteration" in row)


def stored(path: Path) -> dict[str, object]:
    """The result that an earlier call wrote, which this call continues."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def store(path: Path, result: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    whole.replace(path)
