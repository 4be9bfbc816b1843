"""Samples each row's next token from its logits: at a temperature, within top_k and top_p."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from kairos.core.types import Sampling
from kairos.policy.network.text.logprobs import restrict

_RUN = 512  # tokens whose probabilities are summed first


def choose(logits_BV: Tensor, noise_B: Tensor, sampling: Sampling, banned: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [B] by inverse transform from `noise` in [0, 1), and their log-probabilities [B] (fp32).

    The log-probabilities are those of the distribution that is sampled: after temperature, top_k and top_p. Temperature
    0 takes the likeliest token, with log-probability 0.
    """
    if sampling.temperature == 0:
        token_B = restrict(logits_BV, 1.0, banned).argmax(-1)
        return token_B, torch.zeros_like(token_B, dtype=torch.float32)
    logprobs_BV = restrict(logits_BV, sampling.temperature, banned).log_softmax(-1)
    if sampling.top_k or sampling.top_p < 1:
        logprobs_BV = _truncated(logprobs_BV, sampling.top_k, sampling.top_p)
    token_B = _inverse(logprobs_BV.exp(), noise_B)
    return token_B, logprobs_BV.gather(-1, token_B[:, None]).squeeze(-1)


def _inverse(probs_BV: Tensor, noise_B: Tensor) -> Tensor:
    """The first token whose cumulative probability exceeds the noise.

    Finds the run of `_RUN` tokens first, then the token in the run. Sums are fp64. Tokens of probability 0 are never
    drawn.
    """
    runs_BKR = pad(probs_BV, (0, -probs_BV.shape[-1] % _RUN)).unflatten(-1, (-1, _RUN))
    ends_BK = runs_BKR.sum(-1, dtype=torch.float64).cumsum(-1)
    level_B1 = (noise_B[:, None].double() * ends_BK[:, -1:]).minimum(ends_BK[:, -1:] * (1 - 2**-52))
    run_B1 = torch.searchsorted(ends_BK, level_B1, right=True).clamp(max=ends_BK.shape[-1] - 1)
    before_B1 = torch.where(run_B1 > 0, ends_BK.gather(-1, (run_B1 - 1).clamp(min=0)), 0.0)
    within_BR = runs_BKR.gather(1, run_B1[..., None].expand(-1, -1, _RUN)).squeeze(1).cumsum(-1, dtype=torch.float64)
    rest_B1 = torch.minimum(level_B1 - before_B1, within_BR[:, -1:] * (1 - 2**-52))  # both sums are rounded
    place_B1 = torch.searchsorted(within_BR, rest_B1, right=True)
    return (run_B1 * _RUN + place_B1).squeeze(-1).clamp(max=probs_BV.shape[-1] - 1)


def _truncated(logprobs_BV: Tensor, top_k: int, top_p: float) -> Tensor:
    """Keep the `top_k` likeliest tokens (0: all), of those the fewest that reach `top_p`, and renormalise."""
    ordered_BV, order_BV = logprobs_BV.sort(-1, descending=True)
    if top_k:
        ordered_BV[:, top_k:] = -torch.inf
    probabilities_BV = ordered_BV.softmax(-1)
    before_BV = probabilities_BV.cumsum(-1) - probabilities_BV
    ordered_BV = ordered_BV.masked_fill((before_BV >= top_p) & (before_BV > 0), -torch.inf)
    return torch.full_like(logprobs_BV, -torch.inf).scatter(-1, order_BV, ordered_BV).log_softmax(-1)
