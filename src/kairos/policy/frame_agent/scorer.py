"""The network of the temporal agent: how well each frame of a clip suits a question.

Source: TSPO (arXiv 2508.04369): one layer of attention in a local window over frame features with a positional encoding
of normalised time, a residual MLP, and the cosine with the question. Everything is fp32: at the temperatures in use,
bf16 scores tie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from kairos.core.carry import carried


class FrameScorer(nn.Module):
    """Scores [T] of frame features [T, D] for a question [D]. Weights start at N(0, 0.02^2), biases at 0.

    Each frame attends to `window` frames: `window // 2` before it, itself, and the rest after it. The released code has
    a sixth linear layer, an output projection that it never uses: `unused_projection` keeps it (frozen), so that the
    parameters are those of the published weights (3,543,552 at width 768; 2,952,960 without it).
    """

    def __init__(
        self, width: int = 768, heads: int = 8, window: int = 12, seed: int = 0, unused_projection: bool = True
    ) -> None:
        super().__init__()
        if width % heads or width % 2:
            raise ValueError(f"policy.width must be even and a multiple of policy.heads={heads}, got {width}")
        if window < 1:
            raise ValueError(f"policy.window must be >= 1 frame, got {window}")
        self.heads, self.window = heads, window
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.projection = nn.Linear(width, width) if unused_projection else None
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_() if parameter.ndim == 1 else parameter.normal_(0.0, 0.02, generator=generator)
        if self.projection is not None:
            self.projection.requires_grad_(False)

    def scores(self, frames_TD: Tensor, question_D: Tensor) -> Tensor:
        """[T] in [-2, 2]: the cosine of question and frame, plus that of question and frame after attention."""
        return self.scores_of_clips([frames_TD], [question_D])[0]

    def scores_of_clips(self, frames: Sequence[Tensor], questions: Sequence[Tensor]) -> list[Tensor]:
        """`scores` of several clips at once: their frames lie end to end, so that a step starts few kernels."""
        lengths = [len(frames_TD) for frames_TD in frames]
        frames_ND, questions_PD = torch.cat(list(frames)).float(), torch.stack(list(questions)).float()
        width, device = frames_ND.shape[1], frames_ND.device
        encoding_ND = carried(torch.cat([time_encoding(length, width) for length in lengths]), device)
        inside_NW = carried(torch.cat([inside(length, self.window) for length in lengths]), device)
        clip_N1 = carried(torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))[:, None], device)
        seen_ND = frames_ND + self.mlp(self._attend(frames_ND + encoding_ND, inside_NW))
        norm_N = questions_PD.norm(dim=-1)[clip_N1[:, 0]]

        def dot(x_ND: Tensor) -> Tensor:
            return (x_ND @ questions_PD.T).gather(1, clip_N1)[:, 0]

        before_N = dot(frames_ND) / (frames_ND.norm(dim=-1) * norm_N).clamp(min=1e-8)
        after_N = dot(seen_ND) / (seen_ND.norm(dim=-1) * norm_N + 1e-6)
        return list((after_N + before_N).split(lengths))

    def _attend(self, placed_ND: Tensor, inside_NW: Tensor) -> Tensor:
        """Multi-head attention of each frame over its window only: time and memory O(N * window), no [N, N] matrix."""
        q_NHD, k_NHD, v_NHD = (
            layer(placed_ND).unflatten(-1, (self.heads, -1)) for layer in (self.query, self.key, self.value)
        )
        frames, before = len(placed_ND), self.window // 2
        around = (0, 0, 0, 0, before, self.window - 1 - before)  # zeros before the first frame and after the last
        k_padded, v_padded = pad(k_NHD, around), pad(v_NHD, around)
        scale = 1 / math.sqrt(q_NHD.shape[-1])
        logits_NHW = torch.stack(
            [(q_NHD * k_padded[w : w + frames]).sum(-1) * scale for w in range(self.window)], dim=-1
        )
        weights_NHW = logits_NHW.masked_fill(~inside_NW[:, None], -torch.inf).softmax(-1)
        attended_NHD = sum(
            (weights_NHW[..., w, None] * v_padded[w : w + frames] for w in range(self.window)), torch.zeros_like(v_NHD)
        )
        return attended_NHD.flatten(1)


def inside(frames: int, window: int, device: torch.device | None = None) -> Tensor:
    """[T, W] bool: which of the frames around each exist. Offsets run from -(window // 2) to (window - 1) // 2.

    >>> inside(3, 2).tolist()
    [[False, True], [True, True], [True, True]]
    """
    offsets = torch.arange(window, device=device) - window // 2
    near_TW = torch.arange(frames, device=device)[:, None] + offsets
    return (near_TW >= 0) & (near_TW < frames)


def time_encoding(frames: int, width: int) -> Tensor:
    """Sines and cosines of normalised time t / T [T, D]: smooth over the whole clip, whatever its length."""
    time_T1 = torch.arange(frames, dtype=torch.float32)[:, None] / frames
    rate_I = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    return torch.stack([(time_T1 * rate_I).sin(), (time_T1 * rate_I).cos()], dim=-1).flatten(1)
