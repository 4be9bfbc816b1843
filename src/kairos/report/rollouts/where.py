"""Parses conditions on JSON rows, such as `reason != null and terms.iou < 0.5`; they are never executed as Python.

>>> condition = parse("reason != null and not truncated")
>>> condition({"reason": "no span", "truncated": False})
True
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kairos.report.rollouts.row_fields import ConditionError, Field, Row

_LONGEST = 1000  # characters; nothing that short nests deeper than Python can follow
_WORDS = {"null": None, "true": True, "false": False}
_EQUAL = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_GRAMMAR = "fields, numbers, 'strings', null, true and false, compared by == != < <= > >= or in, joined by and, or, not"


@dataclass(frozen=True)
class Condition:
    """A parsed condition: (row) -> bool.

    Comparing null with < or > is false. A field alone is true unless it is false, empty, 0 or null. ConditionError for
    < or > between a number and a string.
    """

    holds: Callable[[Row], bool]
    fields: tuple[Field, ...]

    def __call__(self, row: Row) -> bool:
        return self.holds(row)


def parse(text: str, known: Sequence[str] = ()) -> Condition:
    """Parse a condition; ConditionError quotes the text and the position of the error.

    `known` fields are listed in that message. Whether a field exists is checked row by row.
    """
    text = text.replace("\n", " ").strip()
    if len(text) > _LONGEST:
        raise ConditionError(f"where has {len(text)} characters, at most {_LONGEST} are read: {text[:60]!r}...")
    reader = _Reader(text, known)
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # ValueError: no text, such as a null byte
        place = error.offset if isinstance(error, SyntaxError) else None
        raise reader.wrong(place or 1, "this cannot be read") from error
    return Condition(reader.condition(tree), tuple(reader.fields))


class _Reader:
    """Compiles an expression's syntax tree into a function of a row, and collects the fields that it names."""

    def __init__(self, text: str, known: Sequence[str]) -> None:
        self.text, self.known = text, known
        self.fields: list[Field] = []

    def wrong(self, character: int, why: str) -> ConditionError:
        listed = f"; the fields are {', '.join(self.known)}" if self.known else ""
        return ConditionError(f"{self._at(character)}: {why}. A condition has {_GRAMMAR}{listed}")

    def condition(self, node: ast.expr) -> Callable[[Row], bool]:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts, joined = [self.condition(value) for value in values], all if isinstance(op, ast.And) else any
                return lambda row: joined(part(row) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return lambda row: not inner(row)
            case ast.Compare(left=left, ops=ops, comparators=others):
                values = [self.value(side) for side in (left, *others)]
                tests = [self.comparison(op, node) for op in ops]
                pairs = list(zip(tests, pairwise(values), strict=True))
                return lambda row: all(test(one(row), other(row)) for test, (one, other) in pairs)
            case ast.Name() | ast.Attribute() | ast.Subscript() if ast.unparse(node) not in _WORDS:
                value = self.value(node)
                return lambda row: bool(value(row))
            case _:
                raise self.wrong(self._character(node), f"{self._source(node)} is no condition")

    def value(self, node: ast.expr) -> Callable[[Row], object]:
        match node:
            case ast.Name(id=word) if word in _WORDS:
                return _constant(_WORDS[word])
            case ast.Constant(value=None | bool() | int() | float() | str() as value):
                return _constant(value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return _constant(-value)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                field = Field(self.path(node), self._at(self._character(node)))
                self.fields.append(field)
                return field
            case _:
                raise self.wrong(self._character(node), f"{self._source(node)} is no value")

    def path(self, node: ast.expr) -> tuple[str, ...]:
        match node:
            case ast.Name(id=name):
                return (name,)
            case ast.Attribute(value=ast.Name(id=name), attr=inner):
                return (name, inner)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as inner)):
                return (name, inner)
            case _:
                raise self.wrong(self._character(node), f"{self._source(node)} is no field")

    def comparison(self, op: ast.cmpop, node: ast.expr) -> Callable[[object, object], bool]:
        if isinstance(op, tuple(_EQUAL)):
            return _EQUAL[type(op)]
        if isinstance(op, ast.In | ast.NotIn):
            return lambda one, other: self._contains(other, one, node) is isinstance(op, ast.In)
        if isinstance(op, tuple(_ORDER)):
            return lambda one, other: self._ordered(_ORDER[type(op)], one, other, node)
        raise self.wrong(self._character(node), f"{self._source(node)} is no such comparison")

    def _ordered(self, compare: Callable[..., bool], one: object, other: object, node: ast.expr) -> bool:
        if one is None or other is None:
            return False
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        if not numbers and not (isinstance(one, str) and isinstance(other, str)):
            raise ConditionError(f"{self._at(self._character(node))}: {one!r} and {other!r} have no order")
        return compare(one, other)

    def _contains(self, whole: object, part: object, node: ast.expr) -> bool:
        if whole is None or part is None:
            return False
        if not (isinstance(whole, str) and isinstance(part, str)):
            raise ConditionError(f"{self._at(self._character(node))}: in looks for a string in a string, not {whole!r}")
        return part in whole

    def _at(self, character: int) -> str:
        return f"where={self.text!r}, character {character}"

    def _character(self, node: ast.expr) -> int:
        """Counted from 1; Python counts bytes."""
        return len(self.text.encode()[: node.col_offset].decode()) + 1

    def _source(self, node: ast.expr) -> str:
        return repr(ast.get_source_segment(self.text, node) or self.text)


def _constant(value: object) -> Callable[[Row], object]:
    return lambda row: value
