"""Log-probabilities and entropies of chosen tokens from hidden states, with Triton kernels.

Logits exist for one chunk of rows at a time, in the dtype of matrix products, and are read once; the backward pass
overwrites them with their gradient. The twin is `text.logprobs.token_logprobs_plain`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from kairos.policy.network.kernels.autograd import Ctx
from kairos.policy.network.kernels.dispatch import matmul_dtype
from kairos.policy.network.kernels.joint_linear import cast_weight
from kairos.policy.network.kernels.launch import launch
from kairos.policy.network.kernels.weight_gradients import WeightGradients, add_product, product

NEVER = -1e30
"""The logit of a token that cannot be chosen."""
_BLOCK = 4096


def token_logprobs(
    hidden_MD: Tensor, head: nn.Linear, chosen_M: Tensor, temperature: float, banned: Tensor, entropy: bool, rows: int
) -> tuple[Tensor, Tensor]:
    """Log-probs [M] (fp32) of the chosen ids and, with `entropy`, the entropies [M], in chunks of `rows` rows.

    With more than one chunk the backward pass recomputes the logits; those of a single chunk are kept. `chosen` ids
    must be below the head's width. Without `entropy` the second tensor holds nothing of use.
    """
    x_MD = hidden_MD.to(matmul_dtype(hidden_MD, head.weight.dtype))
    return _TokenLogprobs.apply(x_MD, head.weight, chosen_M.contiguous(), temperature, banned, entropy, rows)


class _LogprobsCtx(Ctx):
    temperature: float
    entropy: bool
    rows: int
    gradients: WeightGradients


class _TokenLogprobs(Function):
    @staticmethod
    def forward(
        ctx: _LogprobsCtx, x_MD: Tensor, weight: Tensor, chosen_M: Tensor, temperature: float, banned: Tensor,
        entropy: bool, rows: int,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        from kairos.policy.network.kernels.triton import token_logprobs as kernels  # Triton is not everywhere

        weight_VD = cast_weight(x_MD, weight)
        logprob_M, log_M, entropy_M = (x_MD.new_empty(len(x_MD), dtype=torch.float32) for _ in range(3))
        kept: Tensor | None = None
        for part in _chunks(len(x_MD), rows):
            logits_CV = linear(x_MD[part], weight_VD).index_fill_(1, banned, NEVER)
            launch(
                kernels.token_logprobs_forward, (len(logits_CV),), logits_CV, chosen_M[part], logprob_M[part],
                log_M[part], entropy_M[part], float(temperature), logits_CV.shape[1], ENTROPY=entropy, BLOCK=_BLOCK,
            )  # fmt: skip
            kept = logits_CV if len(x_MD) <= rows else None
            del logits_CV  # never two chunks at once
        ctx.save_for_backward(x_MD, weight_VD, chosen_M, log_M, entropy_M, banned, kept)
        ctx.temperature, ctx.entropy, ctx.rows = temperature, entropy, rows
        ctx.gradients = WeightGradients.of([weight], [slice(0, len(weight))])
        if not entropy:
            ctx.mark_non_differentiable(entropy_M)
        return logprob_M, entropy_M

    @staticmethod
    @once_differentiable
    def backward(ctx: _LogprobsCtx, grad_M: Tensor, grad_entropy_M: Tensor) -> tuple[Tensor | None, ...]:
        from kairos.policy.network.kernels.triton import token_logprobs as kernels  # Triton is not everywhere

        x_MD, weight_VD, chosen_M, log_M, entropy_M, banned, kept = ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        grad_M, grad_entropy_M = grad_M.contiguous(), grad_entropy_M.contiguous()
        gradients = ctx.gradients
        accumulator = gradients.accumulators()[0] if needs_weight else None
        grad_x, total = torch.empty_like(x_MD) if needs_x else None, accumulator
        for part in _chunks(len(x_MD), ctx.rows):
            slopes_CV = linear(x_MD[part], weight_VD).index_fill_(1, banned, NEVER) if kept is None else kept
            torch.autograd.graph.increment_version(slopes_CV)  # so that autograd refuses a second backward pass
            rows, width = slopes_CV.shape
            launch(
                kernels.token_logprobs_backward, (rows, -(-width // _BLOCK)), slopes_CV, chosen_M[part], log_M[part],
                entropy_M[part], grad_M[part], grad_entropy_M[part], float(ctx.temperature), width,
                ENTROPY=ctx.entropy, BLOCK=_BLOCK,
            )  # fmt: skip
            slopes_CV.index_fill_(1, banned, 0.0)
            if grad_x is not None:
                torch.mm(slopes_CV, weight_VD, out=grad_x[part])
            if needs_weight:
                if total is None:
                    total = product(slopes_CV.T, x_MD[part], gradients.dtype)
                else:
                    add_product(total, slopes_CV.T, x_MD[part])
            del slopes_CV
        return grad_x, total if accumulator is None else None, None, None, None, None, None


def _chunks(count: int, rows: int) -> list[slice]:
    return [slice(first, min(first + rows, count)) for first in range(0, count, rows)]
