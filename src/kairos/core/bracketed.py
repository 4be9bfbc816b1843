"""A pattern for times in angle brackets, "<12.5> <20> he waves", as ActivityNet-RTL writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kairos.core.patterns import Found

_NUMBER = re.compile(r"<(\d*+\.\d++|\d++\.?+)>")


@dataclass(frozen=True)
class Bracketed:
    """The first two numbers that stand in angle brackets; nothing when fewer.

    >>> [found.span for found in Bracketed().find("<12.5> <20> he waves <30>")]
    [Span(start=12.5, end=20.0)]
    """

    pick: Literal["first", "last"] = "first"

    def find(self, text: str) -> Iterator[Found]:
        numbers = _NUMBER.finditer(text)
        first, second = next(numbers, None), next(numbers, None)
        if first and second:
            yield Found(first.start(), second.end(), first[1], second[1])
