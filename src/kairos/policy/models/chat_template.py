"""Renders chat templates, which come with a model and may be a stranger's, sandboxed and within bounded work.

The text is that of transformers' `apply_chat_template`. Work is counted and not timed, so the same template ends the
same way on every machine: the bound is about a second's work of one core.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Protocol, cast

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import do_format
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

WORK = 100_000_000
"""What one rendering may spend: a unit for each character, `_ENTRY` for each entry of a list, `_STEP` for each step."""
_STEP, _ENTRY = 300, 100
_COUNTED = "counted"
_WIDTH = re.compile(r"\d+|\*")


class TooMuchWork(ValueError):
    """A chat template does not end within its bound."""


_spent: ContextVar[list[int]] = ContextVar("work that a rendering has spent")


def render(template: str, messages: Sequence[Mapping[str, object]], variables: Mapping[str, object], whose: str) -> str:
    """The conversation as one text that ends with the opening of the assistant's turn.

    `variables`: what the template reads beside `messages`, such as special tokens. ValueError, which names `whose` the
    template is, where it does too much, is no Jinja, or refuses the conversation.
    """
    try:
        with _bounded():
            return _compiled(template).render(
                messages=messages, tools=None, documents=None, add_generation_prompt=True, **variables
            )
    except TemplateSyntaxError as error:
        raise ValueError(f"the chat template of {whose} is not Jinja: line {error.lineno}: {error.message}") from error
    except (TooMuchWork, TemplateError, RecursionError, OverflowError) as error:
        raise ValueError(f"the chat template of {whose} cannot be rendered: {error}") from error


@functools.lru_cache
def _compiled(template: str) -> _Template:
    environment = _Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    return cast("_Template", environment.from_string(template))


class _Template(Protocol):
    def render(self, **variables: object) -> str: ...


@contextmanager
def _bounded() -> Iterator[None]:
    token = _spent.set([0])
    try:
        yield
    finally:
        _spent.reset(token)


def _spend(work: int) -> None:
    spent = _spent.get()
    spent[0] += _STEP + work
    if spent[0] > WORK:
        raise TooMuchWork("it does not end within a second's work; look for loops in it, and for texts that it repeats")


def _size(value: object) -> int:
    """Characters and entries in a value, those of its entries included. To walk through them is work itself."""
    found, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Namespace):
            one = object.__getattribute__(one, "_Namespace__attrs")
        if isinstance(one, str | bytes):
            found += len(one)
        elif isinstance(one, Mapping):
            _spend(_ENTRY * len(one))
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            _spend(_ENTRY * len(one))
            waiting += one
        elif isinstance(one, range):
            found += len(one)
        elif isinstance(one, int):
            found += one.bit_length()
        found += 1
    return found


def _extent(value: object) -> int:
    """How many times over an operation may do its work because of this argument: a width, a count, a text."""
    return max(1, abs(value)) if isinstance(value, int) else _size(value)


def _product(arguments: Sequence[object]) -> int:
    return math.prod(min(_extent(argument), WORK + 1) for argument in arguments)


def counted(value: object) -> object:
    """The value, its size spent; each step of what is not a list or text counts when it is taken."""
    _spend(_size(value))
    if isinstance(value, Iterator):
        return _steps(value)
    return value


def _iterated(value: object) -> object:
    _spend(_size(value))
    return _steps(iter(value)) if hasattr(value, "__iter__") else value  # type: ignore[call-overload]


def _steps(values: Iterator[object]) -> Iterator[object]:
    for value in values:
        _spend(0)
        yield value


def _counting(function: Callable[..., object]) -> Callable[..., object]:
    """A filter or a test whose work is spent: the product of its arguments' sizes at most."""

    @functools.wraps(function)  # keeps the mark by which Jinja passes its environment or context
    def spending(*arguments: object, **named: object) -> object:
        marked = hasattr(function, "jinja_pass_arg")
        _spend(_product([*arguments[marked:], *named.values()]))
        return function(*arguments, **named)

    return spending


class _CountEverything(NodeTransformer):
    """Puts a count around whatever repeats work or makes text: loops, outputs, `~`, comparisons, slices, blocks."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _count(cast("nodes.Expr", node.iter), "counted_steps")
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [
            child if isinstance(child, nodes.TemplateData) else _count(cast("nodes.Expr", child))
            for child in node.nodes
        ]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [_count(child) for child in node.nodes]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _count(node.expr)
        for operand in node.ops:
            operand.expr = _count(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _count(node) if isinstance(node.arg, nodes.Slice) else node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:
        self.generic_visit(node)
        node.filter = cast("nodes.Filter", _count(cast("nodes.Expr", node.filter)))
        return node


def _count(node: nodes.Expr, name: str = _COUNTED) -> nodes.Expr:
    return nodes.Filter(node, name, [], [], None, None)


class _Bounded(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with transformers' additions, that spends work on whatever a template does."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        del self.globals["lipsum"]
        self.globals |= {"raise_exception": _raise, "strftime_now": _now}
        self.filters |= {"tojson": _to_json, "format": _format}
        self.filters = {name: _counting(function) for name, function in self.filters.items()}
        self.tests = {name: _counting(function) for name, function in self.tests.items()}
        self.filters |= {_COUNTED: counted, "counted_steps": _iterated}

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        return super()._generate(_CountEverything().visit(source), name, filename, defer_init)

    def call(__self, __context: Context, __obj: object, *arguments: object, **named: object) -> object:
        given = [*arguments, *named.values()]
        if isinstance(__obj, Macro | LoopContext | type):
            _spend(sum(_size(value) for value in given))
            if isinstance(__obj, LoopContext):
                arguments = tuple(_iterated(value) for value in arguments)
        else:
            _spend(_product([getattr(__obj, "__self__", None), *given, *_widths(__obj)]))
        return counted(super().call(__context, __obj, *arguments, **named))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        sizes = _size(left), _size(right)
        if operator == "+":
            _spend(sum(sizes))
        elif operator == "**":
            _spend(sizes[0] * _extent(right))
        elif isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple):
            _spend(_product([left, right, *(_numbers(left) if operator == "%" else ())]))
        else:
            _spend(sizes[0] * sizes[1] // 64)  # numbers, by their bits
        return super().call_binop(context, operator, left, right)


def _widths(function: object) -> list[int]:
    """The numbers in the text whose `format` this is."""
    wrapped = getattr(function, "__wrapped__", function)
    return _numbers(getattr(wrapped, "__self__", None)) if getattr(wrapped, "__name__", "") == "format" else []


def _numbers(text: object) -> list[int]:
    """The widths that a format may ask for; `*`, which takes one from its arguments, asks for any."""
    found = _WIDTH.findall(text) if isinstance(text, str) else []
    return [WORK + 1 if word == "*" or len(word) > 9 else int(word) for word in found]


class _Generation(Extension):
    """`{% generation %}` marks what an assistant wrote; a prompt is rendered as if it was not there."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _format(text: str, *arguments: object, **named: object) -> str:
    _spend(_product(_numbers(text)))
    return do_format(text, *arguments, **named)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
