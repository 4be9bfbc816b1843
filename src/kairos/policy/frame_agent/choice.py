"""How likely a choice of K frames is, given a logit a frame: two definitions.

Frames are drawn by Gumbel top-k, which is sampling without replacement from a Plackett-Luce distribution. Its exact
log-probability is `PlackettLuce`; TSPO's released code trains `Independent`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

NEVER = -1e30
"""A logit that adds nothing to a sum of exponentials, and whose gradient is 0 rather than NaN."""


class FrameChoice(Protocol):
    """`(logits_RT, chosen_RK, mask_RK) -> (logprobs_RK, entropies_RK)`: R choices of up to K frames out of T.

    Logits of one clip [T] stand for every row; a logit of `NEVER` fills up a row of fewer frames.
    `ordered` says whether the order in which frames were drawn matters; where it does not, choices are kept in the
    order of time. Both results are 0 where `mask_RK` is 0.
    """

    @property
    def ordered(self) -> bool: ...

    def __call__(self, logits_RT: Tensor, chosen_RK: Tensor, mask_RK: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Independent:
    """Each frame by itself: log softmax(logits) at every chosen frame, and the entropy of that softmax (as released).

    >>> logprobs, _ = Independent()(torch.zeros(4), torch.tensor([[0, 2]]), torch.ones(1, 2))
    >>> logprobs.exp().tolist()
    [[0.25, 0.25]]
    """

    ordered = False

    def __call__(self, logits_RT: Tensor, chosen_RK: Tensor, mask_RK: Tensor) -> tuple[Tensor, Tensor]:
        logprobs_RT = logits_RT.expand(len(chosen_RK), -1).log_softmax(-1)
        entropy_R1 = -(logprobs_RT.exp() * logprobs_RT).sum(-1, keepdim=True)
        return logprobs_RT.gather(1, chosen_RK * (mask_RK > 0)) * mask_RK, entropy_R1 * mask_RK


@dataclass(frozen=True)
class PlackettLuce:
    """Each frame given those drawn before it: logit_k - log sum of exp(logits) over frames not drawn before.

    The log-probabilities of a row add up to that of the ordered choice, and the probabilities of all orders of all
    sets to 1. The entropy is that of each draw among the frames left.

    >>> logprobs, _ = PlackettLuce()(torch.zeros(4), torch.tensor([[0, 2]]), torch.ones(1, 2))
    >>> [round(p, 4) for p in logprobs[0].exp().tolist()]
    [0.25, 0.3333]
    """

    ordered = True

    def __call__(self, logits_RT: Tensor, chosen_RK: Tensor, mask_RK: Tensor) -> tuple[Tensor, Tensor]:
        drawn_RK, logits_RT = mask_RK > 0, logits_RT.expand(len(chosen_RK), -1)
        chosen_RK = chosen_RK * drawn_RK
        logits_RK = logits_RT.gather(1, chosen_RK).masked_fill(~drawn_RK, NEVER)
        taken_RT = torch.zeros_like(logits_RT)
        taken_RT = taken_RT.scatter_add(1, chosen_RK, drawn_RK.to(taken_RT)) > 0
        rest_RT = logits_RT.masked_fill(taken_RT, NEVER)
        # From the last draw to the first, over the frames still left: the log of the sum, and the mean logit.
        total_R = rest_RT.logsumexp(-1)
        mean_R = ((rest_RT - total_R[:, None]).exp() * rest_RT.masked_fill(taken_RT, 0.0)).sum(-1)
        logprobs, entropies = [], []
        for k in reversed(range(chosen_RK.shape[1])):
            own_R = logits_RK[:, k]
            whole_R = torch.logaddexp(total_R, own_R)
            share_R = (own_R - whole_R).exp()
            mean_R = mean_R * (total_R - whole_R).exp() + own_R.masked_fill(~drawn_RK[:, k], 0.0) * share_R
            total_R = whole_R
            logprobs.append(own_R - total_R)
            entropies.append(total_R - mean_R)
        logprobs_RK = torch.stack(logprobs[::-1], 1).masked_fill(~drawn_RK, 0.0)
        return logprobs_RK * mask_RK, torch.stack(entropies[::-1], 1).masked_fill(~drawn_RK, 0.0) * mask_RK
