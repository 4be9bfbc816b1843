"""Words that are spelt much like another, and the question which of them was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_ALIKE = 0.6  # share of the letters
_NEARLY = 0.1  # less than the likeliest


def close(word: str, words: Iterable[str], most: int = 3, alike: float = _ALIKE) -> list[str]:
    """The words that are spelt much like this one, the likeliest first; those that continue it, if none is.

    `alike`: the share of the letters that they must have in common.

    >>> close("qwen2_5_vl", ["mini", "qwen2_5_vl_3b", "qwen2_5_vl_7b"]), close("timezer", ["timezero", "time_r1"])
    (['qwen2_5_vl_3b', 'qwen2_5_vl_7b'], ['timezero'])
    """
    shares = {one: difflib.SequenceMatcher(None, word.lower(), one.lower()).ratio() for one in sorted(words)}
    least = max(alike, max(shares.values(), default=0.0) - _NEARLY)
    found = sorted((one for one in shares if shares[one] >= least), key=lambda one: -shares[one])
    return (found or [one for one in shares if len(word) > 2 and one.startswith(word.lower())])[:most]


def did_you_mean(options: Sequence[str]) -> str:
    """The options as a question; empty without any.

    >>> did_you_mean(["a", "b", "c"])
    'did you mean a, b or c?'
    """
    *others, last = [*options] or [""]
    listed = f"{', '.join(others)} or {last}" if others else last
    return f"did you mean {listed}?" if last else ""
