"""What has been drawn: a row's tokens and their log-probabilities, and whether all rows have ended."""

from __future__ import annotations

import torch
from torch import Tensor

from kairos.core.types import Sampling
from kairos.policy.sampling.choice import choose


class DrawnRows:
    """Tokens, log-probabilities and lengths in tensors that stay where they are. `noise_BA` is uniform in [0, 1)."""

    def __init__(self, noise_BA: Tensor, sampling: Sampling, banned: Tensor, end: int) -> None:
        self.noise_BA, self.sampling, self.banned, self.end = noise_BA, sampling, banned, end
        self.actions_BA = torch.full(noise_BA.shape, end, dtype=torch.long, device=noise_BA.device)
        self.logprobs_BA = torch.zeros(noise_BA.shape, device=noise_BA.device)
        self.token_B = self.actions_BA[:, 0].clone()
        self.running_B = torch.ones_like(self.token_B, dtype=torch.bool)
        self.length_B = torch.zeros_like(self.token_B)

    def choose(self, logits_BV: Tensor, step: Tensor) -> None:
        """Draw the tokens of column `step` [1]; rows that have ended stay as they are."""
        noise_B = self.noise_BA.index_select(1, step).squeeze(1)
        token_B, logprob_B = choose(logits_BV, noise_B, self.sampling, self.banned)
        self.token_B.copy_(torch.where(self.running_B, token_B, self.end))
        self.actions_BA.index_copy_(1, step, self.token_B[:, None])
        self.logprobs_BA.index_copy_(1, step, torch.where(self.running_B, logprob_B, 0.0)[:, None])
        self.length_B.add_(self.running_B)
        self.running_B.logical_and_(self.token_B != self.end)


class AllEnded:
    """`()` says whether no row is running; on a GPU whether none was at the call before.

    So the host need not wait for the device, and a few steps more change nothing.
    """

    def __init__(self, running_B: Tensor) -> None:
        self.running_B = running_B
        self.copied: torch.cuda.Event | None = None
        self.running = torch.ones(1, dtype=torch.bool, pin_memory=running_B.is_cuda)

    def __call__(self) -> bool:
        if self.copied is not None:
            self.copied.synchronize()
            if not self.running.item():
                return True
        self.running.copy_(self.running_B.any()[None], non_blocking=True)
        if not self.running_B.is_cuda:
            return not self.running.item()
        self.copied = torch.cuda.Event()
        self.copied.record()
        return False
