"""Triton kernels of `elementwise` and `norms`: each reads memory once, computes in fp32 and rounds once."""

# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def gate_forward(gate, up, out, stride, width, BLOCK: tl.constexpr):
    """silu(gate) * up on one block of a row of `width` numbers; the rows of gate and up are `stride` apart."""
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside, at = column < width, row * stride + column
    g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + column, (g * tl.sigmoid(g) * u).to(out.dtype.element_ty), mask=inside)


@triton.jit
def gate_backward(
    grad, gate, up, grad_gate, grad_up, out, stride, width, GIVEN: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """The gradients of `gate_forward`'s inputs; with `GIVEN` also its output, into `out`."""
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside, at = column < width, row * stride + column
    dy = tl.load(grad + row * width + column, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=inside, other=0.0).to(tl.float32)
    s = tl.sigmoid(g)
    tl.store(grad_up + at, (dy * g * s).to(grad_up.dtype.element_ty), mask=inside)
    tl.store(grad_gate + at, (dy * u * s * (1.0 + g * (1.0 - s))).to(grad_gate.dtype.element_ty), mask=inside)
    if GIVEN:
        tl.store(out + row * width + column, (g * s * u).to(out.dtype.element_ty), mask=inside)


@triton.jit
def rotate(
    q, k, cos, sin, out_q, out_k, stride_q, stride_k, stride_angles, heads_q, heads_k,
    WIDTH: tl.constexpr, HALF: tl.constexpr, HEADS_Q: tl.constexpr, HEADS_K: tl.constexpr, COLUMNS: tl.constexpr,
    REST: tl.constexpr, BACKWARDS: tl.constexpr,
):  # fmt: skip
    """Rotates one token of q or, in the second column of the grid, of k."""
    token = tl.program_id(0).to(tl.int64)
    if tl.program_id(1) == 0:
        _rotate(
            q, cos, sin, out_q, token, stride_q, stride_angles, heads_q,
            WIDTH, HALF, HEADS_Q, COLUMNS, REST, BACKWARDS,
        )  # fmt: skip
    else:
        _rotate(
            k, cos, sin, out_k, token, stride_k, stride_angles, heads_k,
            WIDTH, HALF, HEADS_K, COLUMNS, REST, BACKWARDS,
        )  # fmt: skip


@triton.jit
def _rotate(
    x, cos, sin, out, token, stride_x, stride_angles, heads,
    WIDTH: tl.constexpr, HALF: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr, REST: tl.constexpr,
    BACKWARDS: tl.constexpr,
):  # fmt: skip
    """Rotates the first 2 * HALF numbers of each head of a token [heads, WIDTH] and copies the others."""
    head = tl.arange(0, HEADS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    inside = (head < heads) & (column < HALF)
    source = x + token * stride_x + head * WIDTH + column
    target = out + token * heads * WIDTH + head * WIDTH + column
    angles = token * stride_angles + column
    first = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(source + HALF, mask=inside, other=0.0).to(tl.float32)
    cos_a = tl.load(cos + angles, mask=column < HALF, other=0.0).to(tl.float32)
    cos_b = tl.load(cos + angles + HALF, mask=column < HALF, other=0.0).to(tl.float32)
    sin_a = tl.load(sin + angles, mask=column < HALF, other=0.0).to(tl.float32)
    sin_b = tl.load(sin + angles + HALF, mask=column < HALF, other=0.0).to(tl.float32)
    if BACKWARDS:
        turned_a = first * cos_a + second * sin_b
        turned_b = second * cos_b - first * sin_a
    else:
        turned_a = first * cos_a - second * sin_a
        turned_b = second * cos_b + first * sin_b
    tl.store(target, turned_a.to(out.dtype.element_ty), mask=inside)
    tl.store(target + HALF, turned_b.to(out.dtype.element_ty), mask=inside)
    if REST > 0:
        other = tl.arange(0, REST)[None, :]
        left = (head < heads) & (other < WIDTH - 2 * HALF)
        kept = tl.load(x + token * stride_x + head * WIDTH + 2 * HALF + other, mask=left, other=0.0)
        tl.store(out + token * heads * WIDTH + head * WIDTH + 2 * HALF + other, kept, mask=left)


@triton.jit
def add(x, y, out, size, BLOCK: tl.constexpr):
    """x + y on one block of `size` numbers."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    total = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    total += tl.load(y + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def norm_forward(
    x, y, gain, total, out, scale, rows, width, heads, stride_x, epsilon,
    ADDED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The norm of ROWS rows of x; with `ADDED` of x + y, which goes to `total`.

    `heads` rows of x make one contiguous block; blocks are `stride_x` apart.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    inside = (row < rows) & (column < width)
    at = row * width + column
    v = tl.load(x + row // heads * stride_x + row % heads * width + column, mask=inside, other=0.0).to(tl.float32)
    if ADDED:
        rounded = (v + tl.load(y + at, mask=inside, other=0.0).to(tl.float32)).to(total.dtype.element_ty)
        tl.store(total + at, rounded, mask=inside)
        v = rounded.to(tl.float32)
    r = 1.0 / tl.sqrt(tl.sum(v * v, axis=1) / width + epsilon)
    w = tl.load(gain + column, mask=column < width, other=0.0).to(tl.float32)
    tl.store(out + at, (v * r[:, None] * w).to(out.dtype.element_ty), mask=inside)
    line = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    tl.store(scale + line, r, mask=line < rows)


@triton.jit
def norm_backward(
    grad, grad_total, x, gain, scale, grad_x, grad_y, grad_gain, rows, width, heads, stride_x, turns,
    ADDED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of the norm on `turns` times ROWS rows; a program's share of the gain's is a row of `grad_gain`.

    With `ADDED` x is a sum with a gradient of its own; both summands get the total of the two gradients.
    """
    column = tl.arange(0, BLOCK)
    w = tl.load(gain + column, mask=column < width, other=0.0).to(tl.float32)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for turn in range(turns):
        line = (tl.program_id(0).to(tl.int64) * turns + turn) * ROWS + tl.arange(0, ROWS)
        inside = (line < rows)[:, None] & (column < width)[None, :]
        at = line[:, None] * width + column[None, :]
        dy = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        here = (line // heads * stride_x + line % heads * width)[:, None] + column[None, :]
        v = tl.load(x + here, mask=inside, other=0.0).to(tl.float32)
        r = tl.load(scale + line, mask=line < rows, other=0.0)[:, None]
        unit = v * r
        total += tl.sum(dy * unit, axis=0)
        weighted = dy * w[None, :]
        mean = tl.sum(weighted * unit, axis=1)[:, None] / width
        dx = (weighted - unit * mean) * r
        if ADDED:
            dx += tl.load(grad_total + at, mask=inside, other=0.0).to(tl.float32)
            tl.store(grad_y + at, dx.to(grad_y.dtype.element_ty), mask=inside)
        tl.store(grad_x + at, dx.to(grad_x.dtype.element_ty), mask=inside)
    tl.store(grad_gain + tl.program_id(0).to(tl.int64) * width + column, total, mask=column < width)


@triton.jit
def merge(
    a, lse_a, b, lse_b, out, lse, heads, head_a, token_a, head_b, token_b, head_out, token_out,
    WIDTH: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """One token: two softmaxes become one. `head_*` and `token_*` are how far apart log-sum-exps lie."""
    token, head = tl.program_id(0).to(tl.int64), tl.arange(0, HEADS)
    real = head < heads
    first = tl.load(lse_a + head * head_a + token * token_a, mask=real, other=0.0)
    second = tl.load(lse_b + head * head_b + token * token_b, mask=real, other=0.0)
    top = tl.maximum(first, second)
    of_a, of_b = tl.exp(first - top), tl.exp(second - top)
    total = of_a + of_b
    tl.store(lse + head * head_out + token * token_out, top + tl.log(total), mask=real)
    column = tl.arange(0, COLUMNS)[None, :]
    at = (token * heads + head)[:, None] * WIDTH + column
    inside = real[:, None] & (column < WIDTH)
    x = tl.load(a + at, mask=inside, other=0.0).to(tl.float32) * (of_a / total)[:, None]
    y = tl.load(b + at, mask=inside, other=0.0).to(tl.float32) * (of_b / total)[:, None]
    tl.store(out + at, (x + y).to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["room"])
def write_kv(k, v, keys, values, step, stride_k, stride_v, room, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """Write a row's new key and value at place `step` of caches for `room` tokens."""
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < SIZE
    place = (row * room + tl.load(step)) * SIZE + at
    new_k = tl.load(k + row * stride_k + at, mask=inside, other=0.0)
    new_v = tl.load(v + row * stride_v + at, mask=inside, other=0.0)
    tl.store(keys + place, new_k.to(keys.dtype.element_ty), mask=inside)
    tl.store(values + place, new_v.to(values.dtype.element_ty), mask=inside)
