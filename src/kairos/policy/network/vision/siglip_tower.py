"""The vision side of LLaVA models: SigLIP on each frame by itself, a projector, and pooling by two."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import PreTrainedConfig, PreTrainedModel

CHUNK = 64
"""Frames that pass the tower together."""


class LlavaParts(Protocol):
    """The part of transformers' LLaVA model that sees, and its text tower."""

    vision_tower: PreTrainedModel
    multi_modal_projector: nn.Module
    image_newline: nn.Parameter
    language_model: PreTrainedModel


class LlavaVision(nn.Module):
    """All that sees in a LLaVA model, as one module of shared parts. It is no part of the model, whose names stay."""

    def __init__(self, parts: LlavaParts) -> None:
        super().__init__()
        self.config: PreTrainedConfig = parts.vision_tower.config
        self.tower = parts.vision_tower
        self.merger = nn.Module()
        self.merger.projector = parts.multi_modal_projector
        self.merger.newline = parts.image_newline

    @property
    def blocks(self) -> nn.ModuleList:
        """The tower's layers."""
        return layers(self.tower)


def layers(tower: nn.Module) -> nn.ModuleList:
    return cast("nn.ModuleList", cast("nn.Module", tower.encoder).layers)


def squares(frames_TCHW: Tensor, side: int) -> Tensor:
    """uint8 frames of any size -> uint8 [T, 3, side, side]: bicubic, antialiased, the aspect ratio is not kept.

    Columns, then rows, rounded in between, as PIL does it, which LLaVA resizes with. PIL computes in fixed point: a
    colour can differ by 1 of 255.
    """
    if tuple(frames_TCHW.shape[-2:]) == (side, side):
        return frames_TCHW
    done = []
    for part in frames_TCHW.split(CHUNK):
        narrow = _resized(part, part.shape[2], side)
        done.append(_resized(narrow, side, side))
    return torch.cat(done)


def _resized(frames_TCHW: Tensor, height: int, width: int) -> Tensor:
    exact = interpolate(frames_TCHW.float(), (height, width), mode="bicubic", antialias=True)
    return exact.clamp_(0, 255).round_().byte()


def run_tower(parts: LlavaParts, pixels_TCHW: Tensor) -> Tensor:
    """Features of normalised square frames after the tower's last layer (its final norm is not applied), projected and
    then pooled bilinearly: [T, rows, columns, D], rows = columns = half the patches of a side, rounded up."""
    tower = parts.vision_tower
    with in_own_dtype(tower):
        hidden_TND = cast("nn.Module", tower.embeddings)(pixels_TCHW)
        for layer in layers(tower):
            hidden_TND = layer(hidden_TND, attention_mask=None)
    projected_TND = parts.multi_modal_projector(hidden_TND)
    side = math.isqrt(projected_TND.shape[1])
    grid_TDRC = projected_TND.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    pooled_TDRC = interpolate(grid_TDRC.contiguous(), (pooled(side), pooled(side)), mode="bilinear")
    return pooled_TDRC.permute(0, 2, 3, 1)


def in_own_dtype(tower: nn.Module) -> AbstractContextManager[object]:
    """Inside this context a tower whose parameters are all bf16 computes without autocast: the same products, but norms
    write bf16, where autocast lets them write fp32 and casts that for every matrix product."""
    parameters = list(tower.parameters())
    if any(parameter.dtype != torch.bfloat16 for parameter in parameters):
        return nullcontext()
    return torch.autocast(parameters[0].device.type, enabled=False)


def pooled(side: int) -> int:
    """Tokens of a side of `side` patches."""
    return math.ceil(side / 2)
