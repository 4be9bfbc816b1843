"""Which values an annotation allows: its types, and bounds written as `Annotated[int, AtLeast(1)]`."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Union, cast, get_args, get_origin


class Bound(Protocol):
    """A condition on a number, which its text names."""

    def __call__(self, value: float) -> bool: ...


@dataclass(frozen=True)
class AtLeast:
    """`low` or more."""

    low: float

    def __call__(self, value: float) -> bool:
        return value >= self.low

    def __str__(self) -> str:
        return f" of at least {self.low:g}"


@dataclass(frozen=True)
class Above:
    """More than `low`."""

    low: float

    def __call__(self, value: float) -> bool:
        return value > self.low

    def __str__(self) -> str:
        return f" above {self.low:g}"


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", types.NoneType: "null"}
_LISTS = (list, tuple, set, frozenset, Sequence, Iterable)
_TABLES = (dict, Mapping)


def allows(annotation: object, value: object) -> bool:
    """Whether a value of a configuration may be given to a parameter with this annotation; True where it cannot tell.

    >>> allows(int, True), allows(float, 1), allows(int | None, None), allows(Annotated[int, AtLeast(1)], 0)
    (False, True, True, False)
    """
    origin, inside = get_origin(annotation), get_args(annotation)
    if (isinstance(value, str) and value.startswith("${")) or (isinstance(value, dict) and "_target_" in value):
        return True  # refers to another option; is what a part builds
    if origin is Annotated:
        return allows(inside[0], value) and all(
            bound(cast("float", value)) for bound in cast("Sequence[Bound]", inside[1:]) if _is_number(value)
        )
    if origin in (Union, types.UnionType):
        return any(allows(one, value) for one in inside)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inside)
    if annotation is None or annotation is types.NoneType:
        return value is None
    kind = origin or annotation
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return _is_number(value) and not math.isnan(cast("float", value))
    if kind is str:
        return isinstance(value, str)
    if kind in _LISTS:
        return isinstance(value, list) and _each(inside, value, kind is tuple)
    if kind in _TABLES:
        return isinstance(value, dict) and (len(inside) < 2 or all(allows(inside[1], one) for one in value.values()))
    return not _is_ours(kind) or isinstance(value, dict)


def shown(annotation: object) -> str:
    """The annotation in words.

    >>> shown(Annotated[int, AtLeast(1)] | None), shown(Literal["skip", "error"])
    ('a whole number of at least 1 or null', 'skip or error')
    """
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shown(inside[0]) + "".join(map(str, inside[1:]))
    if origin in (Union, types.UnionType):
        return " or ".join(map(shown, inside))
    if origin is Literal:
        return " or ".join(map(str, inside))
    kind = types.NoneType if annotation is None else origin or annotation
    if kind in _LISTS:
        items = [shown(one) for one in inside if one is not Ellipsis]
        return f"a list [{', '.join(items)}{', ...' if kind is not tuple or Ellipsis in inside else ''}]"
    if kind in _TABLES:
        return f"a table {{name: {shown(inside[1])}}}" if len(inside) == 2 else "a table {name: value}"
    return _WORDS.get(cast("type", kind)) or f"a part ({getattr(kind, '__name__', kind)})"


def _each(inside: Sequence[object], values: Sequence[object], is_tuple: bool) -> bool:
    if is_tuple and inside and Ellipsis not in inside:
        return len(values) == len(inside) and all(map(allows, inside, values))
    return not inside or all(allows(inside[0], value) for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_ours(kind: object) -> bool:
    """Whether an annotation is one of our classes: a value for it is built from a node with a `_target_`."""
    return inspect.isclass(kind) and kind.__module__.startswith("kairos.")
