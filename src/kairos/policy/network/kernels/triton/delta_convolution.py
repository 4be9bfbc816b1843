"""Triton kernels of `delta_net.convolution`, forward and backward: every token has a window of its own."""

# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _place(tokens, width, TOKENS: tl.constexpr, BLOCK: tl.constexpr):
    """This program's tokens and channels, which of them exist, and their offsets in [tokens, width]."""
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (token < tokens)[:, None] & (channel < width)[None, :]
    return token, channel, inside, token.to(tl.int64)[:, None] * width + channel[None, :]


@triton.jit
def _past(edge_of, windows, token, tap, tokens, REACH: tl.constexpr):
    """The token at place `tap` of each token's window; the index `tokens` where there is none."""
    edge = tl.load(edge_of + token, mask=token < tokens, other=-1)
    listed = tl.load(windows + edge * REACH + tap, mask=edge >= 0, other=0)
    return tl.where(token < tokens, tl.where(edge < 0, token - (REACH - 1) + tap, listed), tokens)


@triton.jit
def _convolved(
    x, x_row, weight, edge_of, windows, token, channel, tokens, width,
    REACH: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The convolution [TOKENS, BLOCK], in fp32, rounded to the dtype of x."""
    total = tl.zeros([TOKENS, BLOCK], tl.float32)
    for tap in tl.static_range(REACH):
        past = _past(edge_of, windows, token, tap, tokens, REACH)
        inside = (past < tokens)[:, None] & (channel < width)[None, :]
        v = tl.load(x + past.to(tl.int64)[:, None] * x_row + channel[None, :], mask=inside, other=0.0)
        w = tl.load(weight + channel * REACH + tap, mask=channel < width, other=0.0)
        total += v.to(tl.float32) * w.to(tl.float32)[None, :]
    return total.to(x.dtype.element_ty).to(tl.float32)


@triton.jit(do_not_specialize=["tokens"])
def convolve_forward(
    x, x_row, weight, edge_of, windows, out, tokens, width,
    REACH: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """silu of the convolution."""
    token, channel, inside, at = _place(tokens, width, TOKENS, BLOCK)
    convolved = _convolved(x, x_row, weight, edge_of, windows, token, channel, tokens, width, REACH, TOKENS, BLOCK)
    tl.store(out + at, convolved / (1 + tl.exp(-convolved)), mask=inside)


@triton.jit(do_not_specialize=["tokens"])
def convolve_inner(
    grad, x, x_row, weight, edge_of, windows, inner, parts, tokens, width,
    REACH: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient before silu, and this program's share [tap, channel] of the weight's gradient."""
    token, channel, inside, at = _place(tokens, width, TOKENS, BLOCK)
    convolved = _convolved(x, x_row, weight, edge_of, windows, token, channel, tokens, width, REACH, TOKENS, BLOCK)
    share = 1 / (1 + tl.exp(-convolved))
    g = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32) * share * (1 + convolved * (1 - share))
    rounded = g.to(inner.dtype.element_ty)
    tl.store(inner + at, rounded, mask=inside)
    g = rounded.to(tl.float32)
    for tap in tl.static_range(REACH):
        past = _past(edge_of, windows, token, tap, tokens, REACH)
        there = (past < tokens)[:, None] & (channel < width)[None, :]
        v = tl.load(x + past.to(tl.int64)[:, None] * x_row + channel[None, :], mask=there, other=0.0)
        place = (tl.program_id(0) * REACH + tap).to(tl.int64) * width + channel
        tl.store(parts + place, tl.sum(g * v.to(tl.float32), axis=0), mask=channel < width)


@triton.jit(do_not_specialize=["tokens"])
def convolve_backward(
    inner, weight, edge_of, out, tokens, width, REACH: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr
):
    """A token's gradient from the later tokens that are no edge tokens."""
    token, channel, inside, at = _place(tokens, width, TOKENS, BLOCK)
    total = tl.zeros([TOKENS, BLOCK], tl.float32)
    for step in tl.static_range(REACH):
        later = token + step
        plain = tl.load(edge_of + later, mask=later < tokens, other=0) < 0
        there = plain[:, None] & (channel < width)[None, :]
        g = tl.load(inner + later.to(tl.int64)[:, None] * width + channel[None, :], mask=there, other=0.0)
        w = tl.load(weight + channel * REACH + (REACH - 1 - step), mask=channel < width, other=0.0)
        total += g.to(tl.float32) * w.to(tl.float32)[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
