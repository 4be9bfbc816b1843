"""Prints the content of an iteration: every tensor's shape, every rollout, every reward term."""

from __future__ import annotations

from dataclasses import fields

from lightning.pytorch.callbacks import Callback
from rich.console import Console
from torch import Tensor

from kairos.core.types import Layout, PromptBatch, RolloutBatch, VideoClip
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn


class Debug(Callback):
    """Prints after every iteration; meant for runs of one or two (`experiment=debug`)."""

    turn = Turn.READ

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        console = Console(highlight=False, soft_wrap=True, markup=False)
        console.rule(f"iteration {module.iteration}")
        for prompt in batch.prompts:
            clip, layout = prompt.clip, prompt.layout
            console.print(f"prompt {prompt.uid} ({prompt.task}): {prompt.question!r} -> {prompt.target}")
            _shapes(console, "clip", clip)
            if layout is not None:
                _shapes(console, "layout", layout)
        for credited in module.credited:
            for index, rollout in enumerate(credited.group.rollouts):
                terms = "  ".join(f"{name} {values[index]:.4f}" for name, values in credited.scores.terms.items())
                console.print(
                    f"rollout {index} {rollout.origin.name.lower()} {rollout.text!r}: {terms}  "
                    f"total {credited.scores.total_G[index]:.4f}  "
                    f"advantage {credited.earned.advantages_G[index]:+.4f}  "
                    f"reason {credited.scores.reasons[index]}"
                )
        if module.rollouts is not None:
            _shapes(console, "batch", module.rollouts)
        for name, value in sorted(module.metrics.items()):
            console.print(f"{name} {value:.6g}")


def _shapes(console: Console, name: str, value: VideoClip | Layout | RolloutBatch) -> None:
    for field in fields(value):
        tensor = getattr(value, field.name)
        if isinstance(tensor, Tensor):
            console.print(f"  {name}.{field.name} {list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}")
