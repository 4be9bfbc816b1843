"""The network of the temporal agent: how well each frame of a clip suits a question.

Source: TSPO (arXiv 2508.04369): one layer of attention in a local window over frame features with a positional encoding
of normalised time, a residual MLP, and the cosine with the question. Everything is fp32: at the temperatures in use,
bf16 scores tie.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, pad


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
        frames_TD, question_D = frames_TD.float(), question_D.float()
        placed_TD = frames_TD + time_encoding(len(frames_TD), frames_TD.shape[1]).to(frames_TD)
        seen_TD = frames_TD + self.mlp(self._attend(placed_TD))
        after_T = (seen_TD @ question_D) / (seen_TD.norm(dim=-1) * question_D.norm() + 1e-6)
        return after_T + cosine_similarity(frames_TD, question_D[None], dim=-1)

    def _attend(self, placed_TD: Tensor) -> Tensor:
        """Multi-head attention of each frame over its window only: time and memory O(T * window), no [T, T] matrix."""
        q_THD, k_THD, v_THD = (
            layer(placed_TD).unflatten(-1, (self.heads, -1)) for layer in (self.query, self.key, self.value)
        )
        frames, before = len(placed_TD), self.window // 2
        around = (0, 0, 0, 0, before, self.window - 1 - before)  # zeros before the first frame and after the last
        k_padded, v_padded = pad(k_THD, around), pad(v_THD, around)
        scale = 1 / math.sqrt(q_THD.shape[-1])
        logits_THW = torch.stack(
            [(q_THD * k_padded[w : w + frames]).sum(-1) * scale for w in range(self.window)], dim=-1
        )
        weights_THW = logits_THW.masked_fill(~inside(frames, self.window, q_THD.device)[:, None], -torch.inf).softmax(
            -1
        )
        attended_THD = sum(
            (weights_THW[..., w, None] * v_padded[w : w + frames] for w in range(self.window)), torch.zeros_like(v_THD)
        )
        return attended_THD.flatten(1)


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
