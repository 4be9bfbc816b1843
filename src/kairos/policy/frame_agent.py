"""A policy whose actions are frames: it reads frame features and a question's, and chooses K frames to look at.

Source: TSPO (arXiv 2508.04369), the temporal agent and its sampling: one layer of attention in a local window over
frame features with a positional encoding of normalised time, a residual MLP, and the cosine with the question; K frames
drawn without replacement by Gumbel top-k. Log-probabilities are those of the noise-free softmax, one frame at a time,
as the method's released code trains them (not the Plackett-Luce probability of the set). fp32 throughout: at the
temperatures in use, bf16 logits would tie.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from kairos.core.seeds import uniforms
from kairos.core.types import ActionStats, Prompt, Rollout, RolloutBatch, RolloutGroup, Sampling


class TemporalAgent(nn.Module):
    """Scores frames of `prompt.clip.features["clip"]` [T, D] for `prompt.features["question"]` [D].

    `window` frames are seen around each: `window // 2` before, and after as many less one where it is even. The
    temperature of `Sampling` divides the scores; temperature 0 takes the K best. Weights start at N(0, 0.02^2).
    """

    microbatch_unit = "row"

    def __init__(self, width: int = 768, heads: int = 8, window: int = 12, seed: int = 0) -> None:
        super().__init__()
        if width % heads or width % 2:
            raise ValueError(f"policy.width must be even and a multiple of policy.heads={heads}, got {width}")
        if window < 1:
            raise ValueError(f"policy.window must be >= 1 frame, got {window}")
        self.heads, self.window = heads, window
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_() if parameter.ndim == 1 else parameter.normal_(0.0, 0.02, generator=generator)

    def build(self) -> None:
        """Nothing to load."""

    def encode(self, text: str) -> Tensor:
        raise ValueError(f"the temporal agent's actions are frames; it cannot write {text!r}")

    def scores(self, frames_TD: Tensor, question_D: Tensor) -> Tensor:
        """How well each frame suits the question, [T] in [-2, 2]: the cosine before plus the cosine after attention."""
        frames_TD, question_D = frames_TD.float(), question_D.float()
        placed_TD = frames_TD + time_encoding(len(frames_TD), frames_TD.shape[1]).to(frames_TD)
        seen_TD = frames_TD + self.mlp(self._attend(placed_TD))
        after_T = (seen_TD @ question_D) / (seen_TD.norm(dim=-1) * question_D.norm() + 1e-6)
        return after_T + cosine_similarity(frames_TD, question_D[None], dim=-1)

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        """K = `sampling.max_actions` frames a row (all where there are fewer), sorted in time; the text is empty."""
        groups = []
        for prompt in prompts:
            scores_T = self._scores_of(prompt).cpu()
            count = min(sampling.max_actions, len(scores_T))
            if sampling.temperature == 0:
                keys_GT = scores_T.expand(group_size, -1)
                logprobs_T = torch.zeros_like(scores_T)
            else:
                logprobs_T = (scores_T / sampling.temperature).log_softmax(-1)
                noise_GT = uniforms(seed, prompt.uid, group_size, len(scores_T))
                keys_GT = logprobs_T.double() - (-noise_GT.log()).log()
            chosen_GK = keys_GT.topk(count, dim=-1).indices.sort(dim=-1).values
            rows = (Rollout("", chosen_K, logprobs_T[chosen_K], chosen_K=chosen_K) for chosen_K in chosen_GK)
            groups.append(RolloutGroup(prompt, tuple(rows)))
        return groups

    def score(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        """Log-softmax over all frames at each chosen one [B, K]; the entropy of that softmax at each."""
        temperature = batch.temperature or 1.0
        device = self.query.weight.device
        stats_BA, entropy_BA = [], []
        per_prompt = [(self._scores_of(prompt) / temperature).log_softmax(-1) for prompt in batch.prompts]
        for row, group in enumerate(batch.group_of_B.tolist()):
            logprobs_T, mask_A = per_prompt[group], batch.mask_BA[row].to(device)
            actions_A = batch.actions_BA[row].to(device) * (mask_A > 0)
            stats_BA.append(logprobs_T[actions_A] * mask_A)
            entropy_BA.append(-(logprobs_T.exp() * logprobs_T).sum() * mask_A)
        return ActionStats(torch.stack(stats_BA), torch.stack(entropy_BA) if entropy else None)

    def forward(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        return self.score(batch, entropy)

    def reference(self) -> TemporalAgent:
        return copy.deepcopy(self).requires_grad_(False).eval()

    def _scores_of(self, prompt: Prompt) -> Tensor:
        device = self.query.weight.device
        if "clip" not in prompt.clip.features or "question" not in prompt.features:
            raise ValueError(
                f'prompt {prompt.uid}: the temporal agent needs clip.features["clip"] and features["question"], '
                f"got {sorted(prompt.clip.features)} and {sorted(prompt.features)}"
            )
        return self.scores(prompt.clip.features["clip"].to(device), prompt.features["question"].to(device))

    def _attend(self, placed_TD: Tensor) -> Tensor:
        """Multi-head attention of each frame over its window only, O(T * window)."""
        near_TW, inside_TW = neighbours(len(placed_TD), self.window, placed_TD.device)
        q, k, v = (
            layer(placed_TD).unflatten(-1, (self.heads, -1)) for layer in (self.query, self.key, self.value)
        )  # each [T, H, D / H]
        weights_THW = torch.einsum("thd,twhd->thw", q, k[near_TW]) / math.sqrt(q.shape[-1])
        weights_THW = weights_THW.masked_fill(~inside_TW[:, None], -torch.inf).softmax(-1)
        return torch.einsum("thw,twhd->thd", weights_THW, v[near_TW]).flatten(1)


def neighbours(frames: int, window: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """The frames that each frame sees [T, W], and which of them exist: offsets -window // 2 .. (window - 1) // 2."""
    offsets = torch.arange(-(window // 2), (window + 1) // 2, device=device)
    near_TW = torch.arange(frames, device=device)[:, None] + offsets
    return near_TW.clamp(0, frames - 1), (near_TW >= 0) & (near_TW < frames)


def time_encoding(frames: int, width: int) -> Tensor:
    """Sines and cosines of normalised time t / T [T, D]: smooth over the whole clip, whatever its length."""
    time_T1 = torch.arange(frames, dtype=torch.float32)[:, None] / frames
    rate_I = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    return torch.stack([(time_T1 * rate_I).sin(), (time_T1 * rate_I).cos()], dim=-1).flatten(1)
