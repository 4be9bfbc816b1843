"""What of a layer is computed again for the backward pass instead of kept: nothing, its MLP, or all of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import psutil
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from kairos.core.types import RolloutBatch
from kairos.policy.families.base import Family, layout_of
from kairos.policy.layers import Again

LEVELS = ("none", "selective", "full")
"""From the fastest to the one that needs the least memory: `selective` computes the MLPs again, whose inside is most of
what a layer keeps. All give the same values and gradients."""
CHOICES = (*LEVELS, "auto")
_log = logging.getLogger(__name__)
_SPARE = 0.85  # of what is free: the head's logits, the allocator's gaps, what kernels borrow


def use(model: nn.Module, level: str) -> None:
    """From now on every layer of the text and vision towers that is trained keeps this much."""
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing = level == "full"
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)  # type: ignore[assignment]
            cast("Again", layer.mlp).again = level == "selective"


@dataclass(frozen=True)
class Stack:
    """Layers one after the other: how many, what their matrices read (where trained) and write per token, the width of
    the residual stream; `tokens` pass them at once. `inner_*` is what of it lies inside their MLPs; `passing` bytes of
    a token are held for a moment, by one layer at a time, whatever is kept."""

    layers: int
    inputs: int
    outputs: int
    width: int
    tokens: int
    inner_inputs: int = 0
    inner_outputs: int = 0
    passing: int = 0

    def bytes(self, level: str, element: int) -> int:
        """Kept for the backward pass, at `element` bytes a number (2 in bf16); the residual stream is fp32.

        Between its matrices a layer holds about as much as they write, once more (not in bf16 on a GPU, where `fused`
        keeps what goes in alone), and its norms four residual streams. One layer at a time is whole while it is
        computed again.
        """
        times = 1 if element == 2 else 2
        whole = element * (self.inputs + times * self.outputs) + 16 * self.width * self.layers
        if level == "none":
            return self.tokens * (whole + self.passing)
        again = whole - 4 * self.width * self.layers
        if level == "selective":
            again = element * (self.inner_inputs + times * self.inner_outputs)
        return self.tokens * (whole - again + again // max(1, self.layers) + self.passing)


def loads(batch: RolloutBatch, shared: bool) -> tuple[int, int]:
    """The tokens and the patches of one pass."""
    layouts = [layout_of(prompt) for prompt in batch.prompts]
    lengths = torch.tensor([len(layout) for layout in layouts])
    tokens = int(lengths.sum() if shared else lengths[batch.group_of_B.cpu()].sum()) + int(batch.mask_BA.sum())
    return tokens, sum(int(layout.grid_thw_N3.prod(1).sum()) for layout in layouts)


def stacks(model: PreTrainedModel, family: Family, tokens: int, patches: int) -> list[Stack]:
    """The text layers and, where it is trained, the vision tower."""
    text, tower = family.text(model), family.vision(model)
    found = [_stack(list(text.layers), text.embed_tokens.embedding_dim, tokens)]
    if any(parameter.requires_grad for parameter in tower.parameters()):
        config = cast("PreTrainedConfig", tower.config)
        found.append(_stack(list(cast("nn.ModuleList", tower.blocks)), int(config.hidden_size), patches))
    return found


def _stack(layers: Sequence[nn.Module], width: int, tokens: int) -> Stack:
    matrices = [module for layer in layers for module in layer.modules() if isinstance(module, nn.Linear)]
    inputs = sum(matrix.in_features for matrix in matrices if matrix.weight.requires_grad)
    outputs = sum(matrix.out_features for matrix in matrices)
    inner = [
        module for layer in layers for module in cast("nn.Module", layer.mlp).modules() if isinstance(module, nn.Linear)
    ]
    inner_inputs = sum(m.in_features for m in inner if m.weight.requires_grad and m.in_features != width)
    inner_outputs = sum(m.out_features for m in inner if m.out_features != width)
    passing = max((getattr(module, "passing", 0) for layer in layers for module in layer.modules()), default=0)
    return Stack(len(layers), inputs, outputs, width, tokens, inner_inputs, inner_outputs, passing)


class Chooser:
    """Chooses the fastest level that fits, and says so; asked again for more tokens it may only save more memory."""

    def __init__(self) -> None:
        self.level, self.words, self._tokens = "none", "", -1
        self._most = (-1, -1)

    def for_batch(self, model: PreTrainedModel, family: Family, batch: RolloutBatch, shared: bool) -> str:
        """Looks at the model only where a batch has more tokens or patches than any before: that takes milliseconds."""
        now, before = loads(batch, shared), self._most
        self._most = (max(now[0], before[0]), max(now[1], before[1]))
        return self.level if self._most == before else self(model, stacks(model, family, *self._most))

    def __call__(self, model: nn.Module, stacks: Sequence[Stack]) -> str:
        """The level, set in the model. Free memory is that of the model's device, now, less what is still to come: the
        gradients, (before the first choice) Adam's moments, and autocast's bf16 copies."""
        tokens = sum(stack.tokens for stack in stacks)
        if tokens <= self._tokens:
            return self.level
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        device = next(model.parameters()).device
        coming = sum(4 * _here(p) for p in trained if p.grad is None)
        if self._tokens < 0:
            coming += sum(8 * _here(p) for p in trained)
        if device.type == "cuda":
            coming += sum(2 * p.numel() for p in trained if not isinstance(p, DTensor))
        element = 2 if device.type == "cuda" else 4
        needs = {level: sum(stack.bytes(level, element) for stack in stacks) for level in LEVELS}
        self.level = fitting(needs, free(device) - coming, self.level)
        self._tokens = tokens
        listed = ", ".join(f"{level} {need / 1e9:.1f}" for level, need in needs.items())
        self.words = (
            f"policy.recompute=auto chose {self.level} for {tokens:,} tokens: activations take {listed} GB, and "
            f"{max(0, free(device) - coming) / 1e9:.1f} GB are free"
        )
        _log.info(self.words)
        use(model, self.level)
        return self.level


def _here(parameter: Tensor) -> int:
    """Its numbers on this device."""
    return parameter.to_local().numel() if isinstance(parameter, DTensor) else parameter.numel()


def fitting(needs: dict[str, int], room: int, least: str = "none") -> str:
    """The first level from `least` on whose bytes fit into `room`, some of it spared; else the last.

    >>> fitting({"none": 80, "selective": 40, "full": 10}, room=60)
    'selective'
    >>> fitting({"none": 80, "selective": 40, "full": 10}, room=5)
    'full'
    """
    for level in LEVELS[LEVELS.index(least) :]:
        if needs[level] <= _SPARE * room:
            return level
    return LEVELS[-1]


def free(device: torch.device) -> int:
    """Bytes of a device's memory that are free, those that torch holds and does not use included."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return psutil.virtual_memory().available
