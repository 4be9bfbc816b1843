"""The options of a command: the keys of conf/<command>.yaml that have a comment, which says what they are for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from kairos.runs.options import CONF


@dataclass(frozen=True)
class Option:
    """A key of a yaml file."""

    name: str
    """Dotted: `keep.duration`."""
    value: str
    """Its default as written; `???` if it must be given."""
    comment: str
    """Beside the value and on the lines below it that hold nothing else; empty: the key only wires parts together.

    A line that begins with `<value>: ` stays a line of its own.
    """


def options_of(command: str) -> list[Option]:
    """What conf/<command>.yaml lets a user set, without what it inherits; none without such a file."""
    file = CONF / f"{command}.yaml"
    return [option for option in keys_of(file.read_text(encoding="utf-8")) if option.comment] if file.exists() else []


def keys_of(text: str) -> list[Option]:
    """The keys of a yaml text down to its scalars and lists, without `defaults` and Hydra's own.

    >>> for option in keys_of("seed: 0   # of weights\\nkeep:\\n  length: null   # seconds,\\n      # or null\\n"):
    ...     print(option.name, option.value, option.comment)
    seed 0 of weights
    keep.length null seconds, or null
    """
    root = yaml.compose(text)
    return list(_keys(root, text.splitlines())) if isinstance(root, yaml.MappingNode) else []


def inherited(command: str) -> str | None:
    """The command whose options conf/<command>.yaml has too, by its `defaults`."""
    file = CONF / f"{command}.yaml"
    listed = yaml.safe_load(file.read_text(encoding="utf-8")).get("defaults", []) if file.exists() else []
    return next((name for name in listed if isinstance(name, str) and name != "_self_"), None)


def _keys(node: yaml.MappingNode, lines: Sequence[str], prefix: str = "") -> Iterator[Option]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if name in ("defaults", "hydra") or key.value.startswith("_"):
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _keys(value, lines, f"{name}.")
        else:
            start, end = value.start_mark, value.end_mark
            written = lines[start.line][start.column : end.column] if start.line == end.line else "..."
            yield Option(name, written, _comment(lines, end.line, end.column))


def _comment(lines: Sequence[str], line: int, column: int) -> str:
    first = lines[line][column:].strip()
    found = [first.lstrip("# ")] if first.startswith("#") else []
    for below in lines[line + 1 :] if found else ():
        if not (below.startswith((" ", "\t")) and below.lstrip().startswith("#")):
            break
        found.append(below.strip().lstrip("# "))
    return re.sub(r"\n(?![\w.]+: )", " ", "\n".join(found))
