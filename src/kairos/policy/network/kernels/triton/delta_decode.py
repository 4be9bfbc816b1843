"""Triton kernels of `delta_net.decode`: one more token for each sequence, states updated in place."""

# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def convolve(mixed, recent, weight, out, mixed_row, width, REACH: tl.constexpr, BLOCK: tl.constexpr):
    """silu(convolution) of a channel's last REACH inputs; shifts `recent` [row, REACH - 1, channel] by one."""
    row, channel = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < width
    new = tl.load(mixed + row * mixed_row + channel, mask=inside, other=0.0)
    total = new.to(tl.float32) * tl.load(weight + channel * REACH + REACH - 1, mask=inside, other=0.0).to(tl.float32)
    at = recent + row * (REACH - 1) * width + channel
    for step in tl.static_range(REACH - 1):
        before = tl.load(at + step * width, mask=inside, other=0.0)
        total += before.to(tl.float32) * tl.load(weight + channel * REACH + step, mask=inside, other=0.0).to(tl.float32)
        if step:
            tl.store(at + (step - 1) * width, before, mask=inside)
    if REACH > 1:
        tl.store(at + (REACH - 2) * width, new.to(recent.dtype.element_ty), mask=inside)
    convolved = total.to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + row * width + channel, convolved / (1 + tl.exp(-convolved)), mask=inside)


@triton.jit
def delta(
    q, k, v, decay, beta, state, out, q_row, k_row, v_row, scale,
    HEADS: tl.constexpr, SHARE: tl.constexpr, KEYS: tl.constexpr, VALUES: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The delta rule on BLOCK columns of one head's state [KEYS, VALUES]; SHARE value heads share a key head."""
    place = tl.program_id(0).to(tl.int64)
    row, head = place // HEADS, place % HEADS
    key, value = tl.arange(0, ROWS), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    keys = head // SHARE * KEYS + key
    query = tl.load(q + row * q_row + keys, mask=key < KEYS, other=0.0).to(tl.float32)
    key_vector = tl.load(k + row * k_row + keys, mask=key < KEYS, other=0.0).to(tl.float32)
    query *= scale / tl.sqrt(tl.sum(query * query) + 1e-6)
    key_vector *= 1 / tl.sqrt(tl.sum(key_vector * key_vector) + 1e-6)
    target = tl.load(v + row * v_row + head * VALUES + value, mask=value < VALUES, other=0.0).to(tl.float32)
    at = state + (place * KEYS + key[:, None]) * VALUES + value[None, :]
    inside = (key < KEYS)[:, None] & (value < VALUES)[None, :]
    held = tl.load(at, mask=inside, other=0.0) * tl.exp(tl.load(decay + place).to(tl.float32))
    written = (target - tl.sum(key_vector[:, None] * held, axis=0)) * tl.load(beta + place).to(tl.float32)
    held += key_vector[:, None] * written[None, :]
    tl.store(at, held, mask=inside)
    tl.store(out + place * VALUES + value, tl.sum(query[:, None] * held, axis=0), mask=value < VALUES)
