"""Chooses a part of a list by a short text: `first:100`, `end:10%`, `random:500`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TypeVar

from kairos.core.seeds import uniforms

Item = TypeVar("Item")
_WORDS = re.compile(r"(first|end|random):(\d+)(%?)")


def choose(items: Sequence[Item], strategy: str | int | None, seed: int, name: str) -> list[Item]:
    """The items that `strategy` selects, in their own order; None selects all, a bare number N means `first:N`.

    "random" draws without replacement, as a function of (seed, name, number of items). A percentage is rounded up; a
    number above that of the items selects all. ValueError for any other text, and for 0.

    >>> choose("abcdef", "first:2", 0, ""), choose("abcdef", "end:25%", 0, ""), choose("abcdef", 1, 0, "")
    (['a', 'b'], ['e', 'f'], ['a'])
    """
    if strategy is None:
        return list(items)
    found = _WORDS.fullmatch(f"first:{strategy}" if isinstance(strategy, int) else strategy)
    if found is None or int(found[2]) < 1 or (found[3] and int(found[2]) > 100):
        raise ValueError(f"{strategy!r} names no part of {name}; write first:N, end:N or random:N, or N% for N")
    count = math.ceil(int(found[2]) * len(items) / 100) if found[3] else min(int(found[2]), len(items))
    if found[1] == "first":
        return list(items[:count])
    if found[1] == "end":
        return list(items[len(items) - count :])
    if not items:
        return []
    drawn = uniforms(seed, f"choose/{name}", 1, len(items))[0].argsort(stable=True)[:count]
    return [items[int(index)] for index in sorted(drawn.tolist())]
