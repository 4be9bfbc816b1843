"""Qwen3-VL: a clip is one video block per temporal patch, each behind its textual timestamp.

Source: Qwen3-VL technical report, and the layout as the models were released with it: the chat template's vision
markers around the whole video are replaced by the per-patch blocks. Frames may be of any size that the patches divide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedConfig, PreTrainedModel, Qwen3VLForConditionalGeneration, Qwen3VLVisionModel

from kairos.core.types import Layout, Prompt, VideoClip
from kairos.policy.attention import TEXT_ATTENTION, VISION_ATTENTION
from kairos.policy.families.base import Markers, Seen, TextTower, layout_of


@dataclass(frozen=True)
class Qwen3VL:
    """Patch sizes in pixels and frames; `merge` x `merge` patches make one token."""

    patch: int = 16
    merge: int = 2
    temporal: int = 2

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        if clip.frames_TCHW is None or not len(clip):
            raise ValueError(f"clip {clip.uid} has no frames; a language policy needs a decoded clip")
        frames, height, width = len(clip), *clip.frames_TCHW.shape[-2:]
        factor = self.patch * self.merge
        if height % factor or width % factor:
            raise ValueError(
                f"clip {clip.uid} is {height}x{width}; both must be multiples of {factor}: see the frames budget"
            )
        index = None
        if frames % self.temporal:
            index = torch.arange(frames + -frames % self.temporal).clamp(max=frames - 1)
        seconds = (clip.seconds_T if index is None else clip.seconds_T[index]).double().view(-1, self.temporal)
        times = ((seconds[:, 0] + seconds[:, -1]) / 2).tolist()
        rows, columns = height // factor, width // factor
        block = [markers.start, *[markers.pad] * (rows * columns), markers.end]
        ids = [*encode(f"{before}<{times[0]:.1f} seconds>"), *block]
        for time in times[1:]:
            ids += encode(f"<{time:.1f} seconds>")
            ids += block
        ids += encode(after)
        ids_L = np.asarray(ids, dtype=np.int64)
        if (ids_L == markers.pad).sum() != len(times) * rows * columns:
            raise ValueError(f"the text of a prompt about clip {clip.uid} contains a video token")
        return Layout(
            ids_L=torch.from_numpy(ids_L),
            positions_3L=torch.from_numpy(positions(ids_L == markers.pad, rows, columns)),
            grid_thw_N3=torch.tensor([[len(times), rows * self.merge, columns * self.merge]]),
            seconds_per_grid=(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0,
            frames=index,
        )

    def load(self, weights: str) -> PreTrainedModel:
        model = Qwen3VLForConditionalGeneration.from_pretrained(weights, dtype=torch.float32, use_safetensors=True)
        return _with_our_attention(model)

    def create(self, config: PreTrainedConfig) -> PreTrainedModel:
        return _with_our_attention(Qwen3VLForConditionalGeneration(config))

    def text(self, model: PreTrainedModel) -> TextTower:
        return cast("TextTower", _whole(model).model.language_model)

    def vision(self, model: PreTrainedModel) -> nn.Module:
        return _whole(model).model.visual

    def head(self, model: PreTrainedModel) -> nn.Module:
        return _whole(model).lm_head

    def video_token(self, model: PreTrainedModel) -> int:
        return model.config.video_token_id

    def banned(self, model: PreTrainedModel) -> tuple[int, ...]:
        config = model.config
        return (
            config.video_token_id, config.image_token_id, config.vision_start_token_id, config.vision_end_token_id,
        )  # fmt: skip

    def see(self, model: PreTrainedModel, prompts: Sequence[Prompt]) -> Seen:
        """Frames of prompts of one size are one long video to the tower, which looks at each patch in time alone."""
        tower = _whole(model).model.visual
        device = tower.pos_embed.weight.device
        patches, grids = [], []
        for _, run in groupby(prompts, lambda prompt: _frames(prompt).shape[-2:]):
            frames = torch.cat([_frames(prompt).to(device, non_blocking=True) for prompt in run])
            patches.append(self.patches(frames))
            grids.append((len(frames) // self.temporal, *(side // self.patch for side in frames.shape[-2:])))
        return _look(tower, torch.cat(patches), grids, self.merge)

    def patches(self, frames_TCHW: Tensor) -> Tensor:
        """uint8 [T, 3, H, W], T a multiple of `temporal` -> float32 [patches, 3 * temporal * patch^2] in [-1, 1].

        Ordered by time, then by merged token, then by patch within the token.
        """
        frames, channels, height, width = frames_TCHW.shape
        x = (frames_TCHW.float() - 127.5) / 127.5
        p, m, t = self.patch, self.merge, self.temporal
        x = x.view(frames // t, t, channels, height // p // m, m, p, width // p // m, m, p)
        return x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, channels * t * p * p)


def positions(video_L: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Rotary positions (time, height, width), int64 [3, L], of text with video blocks of `rows` x `columns` tokens.

    Text counts one a token; a block starts where the text stands, spreads over rows and columns, and moves the text on
    by max(rows, columns).
    """
    text = np.cumsum(~video_L)
    seen = np.cumsum(video_L)
    inside = (seen - 1) % (rows * columns)
    block = np.where(video_L, (seen - 1) // (rows * columns), seen // (rows * columns))
    start = text - ~video_L + block * max(rows, columns)
    height = np.where(video_L, inside // columns, 0)
    width = np.where(video_L, inside % columns, 0)
    return np.stack([start, start + height, start + width]).astype(np.int64)


def _frames(prompt: Prompt) -> Tensor:
    frames, layout = prompt.clip.frames_TCHW, layout_of(prompt)
    if frames is None:
        raise ValueError(f"prompt {prompt.uid}: clip {prompt.clip.uid} has no frames")
    return frames if layout.frames is None else frames[layout.frames]


def _whole(model: PreTrainedModel) -> Qwen3VLForConditionalGeneration:
    return cast("Qwen3VLForConditionalGeneration", model)


def _with_our_attention(model: Qwen3VLForConditionalGeneration) -> PreTrainedModel:
    model.model.language_model.config._attn_implementation = TEXT_ATTENTION
    model.model.visual.config._attn_implementation = VISION_ATTENTION
    return model


def _look(tower: Qwen3VLVisionModel, patches: Tensor, grids: Sequence[tuple[int, int, int]], merge: int) -> Seen:
    """The forward pass of transformers' tower, with its blocks, for grids (patches in time, height, width)."""
    project = tower.patch_embed.proj
    hidden = linear(patches.to(project.weight.dtype), project.weight.flatten(1), project.bias)
    spots = [_spots(height, width, merge, patches.device) for _, height, width in grids]
    repeats = [time for time, _, _ in grids]
    side = tower.num_grid_per_side
    table = torch.cat([
        _interpolated(tower.pos_embed, spot, grid[1:], side).repeat(n, 1)
        for spot, grid, n in zip(spots, grids, repeats, strict=True)
    ])  # fmt: skip
    hidden = hidden + table.to(hidden.dtype)
    where = torch.cat([spot.repeat(n, 1) for spot, n in zip(spots, repeats, strict=True)])
    angles = (where[:, :, None].float() * tower.rotary_pos_emb.inv_freq.float()).flatten(1).repeat(1, 2)
    segments = [(time, height * width) for time, height, width in grids]
    lengths = torch.tensor([length for count, length in segments for _ in range(count)])
    cuts = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32).to(patches.device)
    deeper = []
    for number, block in enumerate(tower.blocks):
        hidden = block(
            hidden, cu_seqlens=cuts, position_embeddings=(angles.cos(), angles.sin()),
            max_seqlen=int(lengths.max()), segments=segments,
        )  # fmt: skip
        if number in tower.deepstack_visual_indexes:
            deeper.append(tower.deepstack_merger_list[list(tower.deepstack_visual_indexes).index(number)](hidden))
    return Seen(tower.merger(hidden), tuple(deeper))


def _spots(height: int, width: int, merge: int, device: torch.device) -> Tensor:
    """(row, column) of every patch of one frame, merged tokens together: int64 [height * width, 2]."""
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), dim=-1)
    grid = grid.view(height // merge, merge, width // merge, merge, 2).transpose(1, 2)
    return grid.reshape(-1, 2).to(device)


def _interpolated(embedding: nn.Module, spots: Tensor, size: tuple[int, int], side: int) -> Tensor:
    """The square table of learnt positions, resampled bilinearly (corners aligned) to one frame's patches."""
    scale = torch.tensor([(side - 1) / max(length - 1, 1) for length in size], device=spots.device)
    source = spots * scale
    low = source.floor().long()
    high = (low + 1).clamp(max=side - 1)
    fraction = source - low
    total = torch.zeros((), device=spots.device)
    for row, row_weight in ((low[:, 0], 1 - fraction[:, 0]), (high[:, 0], fraction[:, 0])):
        for column, weight in ((low[:, 1], 1 - fraction[:, 1]), (high[:, 1], fraction[:, 1])):
            total = total + embedding(row * side + column) * (row_weight * weight)[:, None]
    return total
