"""Log-probabilities and entropies of chosen tokens, in fp32 and in chunks: logits [B, L, V] never exist."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from kairos.core.carry import carried
from kairos.policy.network.kernels.checkpoint import recomputed
from kairos.policy.network.kernels.dispatch import fuses_head
from kairos.policy.network.kernels.joint_linear import outputs
from kairos.policy.network.kernels.token_logprobs import NEVER, token_logprobs

CHUNK_ELEMENTS = 2**28
"""Logits of one chunk at most."""


def scoring_temperature(temperature: float) -> float:
    """The temperature at which actions are scored: greedy rollouts (0) are scored at 1."""
    return temperature if temperature > 0 else 1.0


def restrict(logits_NV: Tensor, temperature: float, banned: Tensor) -> Tensor:
    """fp32 logits at `temperature`, with banned tokens masked out. Sampling and scoring share this function."""
    logits = logits_NV.float()
    if temperature != 1.0:
        logits = logits / temperature
    return logits.index_fill_(-1, banned, NEVER)


def chosen_logprobs(
    hidden_MD: Tensor,
    head: Callable[[Tensor], Tensor],
    chosen_M: Tensor,
    temperature: float = 1.0,
    banned: Sequence[int] = (),
    entropy: bool = False,
    chunk_elements: int = CHUNK_ELEMENTS,
) -> tuple[Tensor, Tensor | None]:
    """Log-softmax of `head(hidden)` at the chosen tokens, fp32 [M], and the entropy [M] where asked.

    With more than one chunk (of `chunk_elements` logits) the backward pass recomputes the logits.
    """
    if not len(chosen_M):
        empty = hidden_MD.new_zeros(0, dtype=torch.float32) + 0.0 * hidden_MD.sum()
        return empty, empty if entropy else None
    never = carried(torch.tensor(banned, dtype=torch.long), hidden_MD.device)
    rows = max(1, chunk_elements // _width(head, hidden_MD))
    how = chosen_M, temperature, never, entropy, rows
    if fuses_head(head, hidden_MD):
        logprobs, entropies = token_logprobs(hidden_MD, head, *how)
    else:
        logprobs, entropies = token_logprobs_plain(hidden_MD, head, *how)
    return logprobs, entropies if entropy else None


def token_logprobs_plain(
    hidden_MD: Tensor,
    head: Callable[[Tensor], Tensor],
    chosen_M: Tensor,
    temperature: float,
    banned: Tensor,
    entropy: bool,
    rows: int,
) -> tuple[Tensor, Tensor]:
    """The plain torch twin of `token_logprobs`."""

    def chunk(hidden: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        logits = restrict(_logits(head, hidden), temperature, banned)
        normaliser = logits.logsumexp(-1)
        logprobs = logits.gather(-1, chosen[:, None]).squeeze(-1) - normaliser
        if not entropy:
            return logprobs, logprobs.detach()
        return logprobs, _entropy(logits)

    pairs = list(zip(hidden_MD.split(rows), chosen_M.split(rows), strict=True))
    results = [chunk(*pair) if len(pairs) == 1 else recomputed(chunk, *pair) for pair in pairs]
    logprobs, entropies = (torch.cat(parts) for parts in zip(*results, strict=True))
    return logprobs, entropies


def _entropy(logits_MV: Tensor) -> Tensor:
    """-sum(p log p) of each row, never negative. Logits are shifted to a maximum of 0 first, for precision."""
    log_p_MV = (logits_MV - logits_MV.detach().amax(-1, keepdim=True)).log_softmax(-1)
    return -(log_p_MV.exp() * log_p_MV).sum(-1)


def _logits(head: Callable[[Tensor], Tensor], hidden_MD: Tensor) -> Tensor:
    """The head's logits; through `outputs` its weight gradient is fp32 in every chunk, and so is the chunks' sum."""
    return outputs(hidden_MD, head)[0] if isinstance(head, nn.Linear) else head(hidden_MD)


def _width(head: Callable[[Tensor], Tensor], hidden_MD: Tensor) -> int:
    features = getattr(head, "out_features", None)
    return int(features) if features is not None else head(hidden_MD[:1]).shape[-1]
