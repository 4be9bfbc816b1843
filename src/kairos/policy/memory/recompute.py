"""Activation checkpointing: the backward pass recomputes nothing, each layer's MLP, or each whole layer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import psutil
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers.modeling_layers import GradientCheckpointingLayer

from kairos.core.types import RolloutBatch
from kairos.policy.memory.activations import Pass, layer_gradient, text_activations, vision_activations
from kairos.policy.memory.sizes import Sizes, of_model
from kairos.policy.network.kernels.checkpoint import recomputed_layer
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.network.kernels.weight_gradients import is_accumulating
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.text.layers import Recomputable
from kairos.policy.network.towers import Towers

LEVELS = ("none", "selective", "full")
"""From the fastest to the one that needs the least memory; all give the same values and gradients. `selective`
recomputes the MLPs, which hold most of a layer's activations."""
CHOICES = (*LEVELS, "auto")
_log = logging.getLogger(__name__)
_SPARE = 0.85  # share of the free memory for activations; the rest is for logits, fragmentation and workspaces


def use(model: nn.Module, level: str) -> None:
    """Set the level of every layer in both towers. A frozen tower keeps no activations at any level."""
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing = level == "full"
            layer._gradient_checkpointing_func = recomputed_layer  # type: ignore[assignment]
            cast("Recomputable", layer.mlp).recompute = level == "selective"


def loads(batch: RolloutBatch, shared: bool) -> tuple[int, int]:
    """(tokens, patches) of one pass over the batch; with `shared` a prompt's tokens count once, else once a row."""
    layouts = [layout_of(prompt) for prompt in batch.prompts]
    lengths = torch.tensor([len(layout) for layout in layouts])
    tokens = int(lengths.sum() if shared else lengths[batch.group_of_B.cpu()].sum()) + int(batch.mask_BA.sum())
    return tokens, sum(int(layout.grid_thw_N3.prod(1).sum()) for layout in layouts)


class Chooser:
    """Chooses the fastest level that fits, and logs it. A larger batch may change the choice to a later level only."""

    def __init__(self) -> None:
        self.level, self.words = "none", ""
        self._sizes: Sizes | None = None
        self._largest = (-1, -1)
        self._updates = 0

    def for_batch(self, towers: Towers, batch: RolloutBatch, shared: bool, compiled: bool = False) -> str:
        """The level for `batch`. Chooses anew only where it has more tokens or patches than any batch before."""
        if self._updates < 2 and not any(parameter.grad is not None for parameter in _trained(towers.model)):
            self._updates += 1  # an update begins without gradients
        tokens, patches = map(max, loads(batch, shared), self._largest)
        if (tokens, patches) == self._largest:
            return self.level
        self._sizes = self._sizes or of_model(towers)
        parameters = list(towers.model.parameters())
        sharded, fused = any(isinstance(p, DTensor) for p in parameters), not compiled and uses_triton(parameters[0])
        given = Pass(tokens, patches, "none", parameters[0].is_cuda, fused, sharded, is_accumulating())
        return self(towers.model, self._sizes, given)

    def __call__(self, model: nn.Module, sizes: Sizes, given: Pass) -> str:
        """Choose a level, log it and set it in the model. It must fit into the device's free bytes less `coming`."""
        device = next(model.parameters()).device
        working = given.tokens * max(
            (getattr(module, "working_bytes_per_token", 0) for module in model.modules()), default=0
        )
        needs = {
            level: working + layer_gradient(sizes, at) + text_activations(sizes, at) + vision_activations(sizes, at)
            for level in LEVELS
            for at in [replace(given, recompute=level)]
        }
        room = max(0, free(device) - self.coming(model))
        self.level, self._largest = fastest_fitting(needs, room, self.level), (given.tokens, given.patches)
        listed = ", ".join(f"{level} {need / 1e9:.1f}" for level, need in needs.items())
        self.words = (
            f"policy.recompute=auto chose {self.level} for {given.tokens:,} tokens: activations take {listed} GB, and "
            f"{room / 1e9:.1f} GB are free"
        )
        _log.info(self.words)
        use(model, self.level)
        return self.level

    def coming(self, model: nn.Module) -> int:
        """Bytes that the update will still allocate: gradients, autocast's bf16 copies and, before the first
        optimiser step of this process, Adam's moments."""
        trained = _trained(model)
        gradients = sum(4 * _local_elements(p) for p in trained if p.grad is None)
        moments = sum(8 * _local_elements(p) for p in trained) if self._updates < 2 else 0
        return gradients + moments + sum(2 * p.numel() for p in trained if p.is_cuda and not isinstance(p, DTensor))


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _local_elements(parameter: Tensor) -> int:
    """Elements that this device holds."""
    return parameter.to_local().numel() if isinstance(parameter, DTensor) else parameter.numel()


def fastest_fitting(needs: Mapping[str, float], room: float, least: str = "none") -> str:
    """The first level, from `least` on, whose bytes fit into 85 % of `room`; the last one where none does.

    >>> fastest_fitting({"none": 80, "selective": 40, "full": 10}, room=60)
    'selective'
    >>> fastest_fitting({"none": 80, "selective": 40, "full": 10}, room=5)
    'full'
    """
    for level in LEVELS[LEVELS.index(least) :]:
        if needs[level] <= _SPARE * room:
            return level
    return LEVELS[-1]


def free(device: torch.device) -> int:
    """Free bytes of a device, including those that torch has reserved but does not use."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return psutil.virtual_memory().available
