"""Triton kernels of `token_logprobs`: one reads each row of logits once, one overwrites it with its gradient."""

# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def token_logprobs_forward(
    logits, chosen, logprob, normaliser, entropy, temperature, width, ENTROPY: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """For one row of `width` logits: log-softmax of the chosen one, log-sum-exp, and with `ENTROPY` the entropy."""
    row, column = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    top = tl.full([], -3e38, tl.float32)
    total = tl.zeros([], tl.float32)
    mean = tl.zeros([], tl.float32)
    for start in range(0, width, BLOCK):
        inside = start + column < width
        x = tl.load(logits + row * width + start + column, mask=inside, other=float("-inf")).to(tl.float32)
        x = x / temperature
        higher = tl.maximum(top, tl.max(x, axis=0))
        p, shrunk = tl.exp(x - higher), tl.exp(top - higher)
        total = total * shrunk + tl.sum(p, axis=0)
        if ENTROPY:
            mean = mean * shrunk + tl.sum(tl.where(p > 0, p * x, 0.0), axis=0)
        top = higher
    log = top + tl.log(total)
    at = tl.load(logits + row * width + tl.load(chosen + row)).to(tl.float32) / temperature
    tl.store(logprob + row, at - log)
    tl.store(normaliser + row, log)
    if ENTROPY:
        tl.store(entropy + row, log - mean / total)


@triton.jit
def token_logprobs_backward(
    logits, chosen, normaliser, entropy, grad, grad_entropy, temperature, width,
    ENTROPY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Overwrites one block of a row of logits with their gradient."""
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside, place = column < width, logits + row * width + column
    log, asked = tl.load(normaliser + row), tl.load(grad + row)
    x = tl.load(place, mask=inside, other=float("-inf")).to(tl.float32) / temperature
    p = tl.exp(x - log)
    slope = asked * (tl.where(column == tl.load(chosen + row), 1.0, 0.0) - p)
    if ENTROPY:
        slope -= tl.load(grad_entropy + row) * tl.where(p > 0, p * (x - log + tl.load(entropy + row)), 0.0)
    tl.store(place, (slope / temperature).to(logits.dtype.element_ty), mask=inside)
