"""Triton kernels of `attention.decode`: one attends to parts of the keys, one merges the parts."""

# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["prompt_programs", "prompt_parts", "prompt_size", "row_parts", "row_size", "room"])
def decode_split(
    q, prompt_keys, prompt_values, cuts, row_keys, row_values, used, out, lse, scale,
    prompt_programs, prompt_parts, prompt_size, row_parts, row_size, room,
    GROUP: tl.constexpr, REPEAT: tl.constexpr, KEY_HEADS: tl.constexpr, WIDTH: tl.constexpr,
    TILES: tl.constexpr, TILE: tl.constexpr, ROW_TILE: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The first `prompt_programs` programs of a key head attend to parts of prompts, the others to parts of rows.

    A prompt's GROUP * REPEAT queries are cut into TILES tiles of TILE. A part's results go to `out` and `lse` at
    [row, head, part].
    """
    head, number = tl.program_id(0) % KEY_HEADS, tl.program_id(0) // KEY_HEADS
    parts = prompt_parts + row_parts
    if number < prompt_programs:
        part, tile = number % prompt_parts, number // prompt_parts
        prompt = tile // TILES
        begin = tl.load(cuts + prompt) + part * prompt_size
        end = tl.minimum(begin + prompt_size, tl.load(cuts + prompt + 1))
        _look(
            q, prompt_keys, prompt_values, out, lse, scale, begin, end, prompt * GROUP, head, tile % TILES, part, parts,
            GROUP * REPEAT, REPEAT, KEY_HEADS, WIDTH, TILE, COLUMNS, BLOCK,
        )  # fmt: skip
    else:
        part, row = (number - prompt_programs) % row_parts, (number - prompt_programs) // row_parts
        begin = row * room + part * row_size
        end = row * room + tl.minimum((part + 1) * row_size, tl.load(used + row))
        _look(
            q, row_keys, row_values, out, lse, scale, begin, end, row, head, 0, prompt_parts + part, parts,
            REPEAT, REPEAT, KEY_HEADS, WIDTH, ROW_TILE, COLUMNS, BLOCK,
        )  # fmt: skip


@triton.jit
def _look(
    q, keys, values, out, lse, scale, begin, end, row, head, tile, part, parts,
    QUERIES: tl.constexpr, REPEAT: tl.constexpr, KEY_HEADS: tl.constexpr, WIDTH: tl.constexpr,
    TILE: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One tile of QUERIES queries, from `row` on, over tokens `begin` to `end`; base-2 logs, -inf for none."""
    query = tile * TILE + tl.arange(0, TILE)
    place = (row + query // REPEAT).to(tl.int64) * (KEY_HEADS * REPEAT) + head * REPEAT + query % REPEAT
    column = tl.arange(0, COLUMNS)[None, :]
    asks = (query < QUERIES)[:, None] & (column < WIDTH) & (begin < end)
    asked = tl.load(q + place[:, None] * WIDTH + column, mask=asks, other=0.0)
    top = tl.full([TILE], float("-inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    seen = tl.zeros([TILE, COLUMNS], tl.float32)
    for start in range(begin, end, BLOCK):
        token = start + tl.arange(0, BLOCK)
        at = (token.to(tl.int64)[:, None] * KEY_HEADS + head) * WIDTH + column
        inside = (token < end)[:, None] & (column < WIDTH)
        k = tl.load(keys + at, mask=inside, other=0.0)
        v = tl.load(values + at, mask=inside, other=0.0)
        scores = tl.dot(asked, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where((token < end)[None, :], scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, axis=1))
        p, shrunk = tl.exp2(scores - higher[:, None]), tl.exp2(top - higher)
        total = total * shrunk + tl.sum(p, axis=1)
        seen = tl.dot(p.to(v.dtype), v, seen * shrunk[:, None], input_precision="ieee")
        top = higher
    goal = place * parts + part
    tl.store(out + goal[:, None] * WIDTH + column, seen / total[:, None], mask=asks)
    tl.store(lse + goal, top + tl.log2(total), mask=query < QUERIES)


@triton.jit(do_not_specialize=["parts"])
def decode_join(out, lse, joined, parts, WIDTH: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """Merges the parts of one head of one row by their base-2 log-sum-exps; a part at -inf may hold anything."""
    place, column = tl.program_id(0).to(tl.int64), tl.arange(0, COLUMNS)
    top = -1e30  # finite: a block may have no part that saw anything
    total = 0.0
    mixed = tl.zeros([COLUMNS], tl.float32)
    for start in range(0, parts, BLOCK):
        part = start + tl.arange(0, BLOCK)
        log = tl.load(lse + place * parts + part, mask=part < parts, other=float("-inf"))
        inside = (log > float("-inf"))[:, None] & (column < WIDTH)[None, :]
        x = tl.load(out + (place * parts + part)[:, None] * WIDTH + column[None, :], mask=inside, other=0.0)
        higher = tl.maximum(top, tl.max(log, axis=0))
        share, shrunk = tl.exp2(log - higher), tl.exp2(top - higher)
        total = total * shrunk + tl.sum(share, axis=0)
        mixed = mixed * shrunk + tl.sum(x * share[:, None], axis=0)
        top = higher
    tl.store(joined + place * WIDTH + column, (mixed / total).to(joined.dtype.element_ty), mask=column < WIDTH)
