"""The rows while they are sampled: their tokens and log-probabilities so far, and whether all rows have ended."""

from __future__ import annotations

import torch
from torch import Tensor

from kairos.core.types import Sampling
from kairos.policy.network.kernels.dispatch import runs_ahead
from kairos.policy.sampling.choice import choose


class DrawnRows:
    """Tokens, log-probabilities and lengths so far, in tensors at fixed addresses. `noise_BA` is uniform in [0, 1)."""

    def __init__(self, noise_BA: Tensor, sampling: Sampling, banned: Tensor, end: int) -> None:
        self.noise_BA, self.sampling, self.banned, self.end = noise_BA, sampling, banned, end
        self.actions_BA = torch.full(noise_BA.shape, end, dtype=torch.long, device=noise_BA.device)
        self.logprobs_BA = torch.zeros(noise_BA.shape, device=noise_BA.device)
        self.token_B = self.actions_BA[:, 0].clone()
        self.running_B = torch.ones_like(self.token_B, dtype=torch.bool)
        self.length_B = torch.zeros_like(self.token_B)

    def choose(self, logits_BV: Tensor, step: Tensor) -> None:
        """Draw column `step` [1] of the tokens from its logits; rows that have ended get the end token."""
        noise_B = self.noise_BA.index_select(1, step).squeeze(1)
        token_B, logprob_B = choose(logits_BV, noise_B, self.sampling, self.banned)
        self.token_B.copy_(torch.where(self.running_B, token_B, self.end))
        self.actions_BA.index_copy_(1, step, self.token_B[:, None])
        self.logprobs_BA.index_copy_(1, step, torch.where(self.running_B, logprob_B, 0.0)[:, None])
        self.length_B.add_(self.running_B)
        self.running_B.logical_and_(self.token_B != self.end)


class AllEnded:
    """`()` says whether all rows have ended; on a GPU, whether they had at the call before.

    So the host never waits for the steps in flight; the few steps too many change no row.
    """

    def __init__(self, running_B: Tensor) -> None:
        self.running_B = running_B
        self.copied: torch.cuda.Event | None = None
        self.running = torch.ones(1, dtype=torch.bool, pin_memory=runs_ahead(running_B.device))

    def __call__(self) -> bool:
        if self.copied is not None:
            self.copied.synchronize()
            if not self.running.item():
                return True
        self.running.copy_(self.running_B.any()[None], non_blocking=True)
        if not runs_ahead(self.running_B.device):
            return not self.running.item()
        self.copied = torch.cuda.Event()
        self.copied.record()
        return False
