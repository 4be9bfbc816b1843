"""What `--help` prints: a command's docstring, options and examples, and with `groups` the config groups."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from kairos.entry.bare import bare_option
from kairos.entry.described import commands, docstring
from kairos.entry.groups import groups, groups_of, listed, purpose
from kairos.entry.options import CONF, Option, inherited, options_of

_EXAMPLES = "\nExamples:\n"


def asks_for_help(arguments: Sequence[str]) -> bool:
    return not {"-h", "--help"}.isdisjoint(arguments)


def help_text(command: str, typed: str, arguments: Sequence[str]) -> str:
    """The help of a command that the user began as `typed`: `python scripts/train.py`, `kairos train`.

    `arguments` may hold `groups` or the name of one, and `--config-dir` with a folder whose options are listed too.
    """
    asked = [word for word in arguments if not word.startswith("-") and "=" not in word]
    if "groups" in asked or set(asked) & set(groups()):
        return _groups_text(command, [name for name in asked if name != "groups"], [CONF, *_own(arguments)])
    return "\n\n".join(filter(None, _sections(command, typed)))


def examples(command: str) -> list[str]:
    """The command lines below `Examples:` in a docstring, with their comments: `kairos train ...`."""
    whole = _examples(command).replace("\\\n", " ")
    return [line for line in map(str.strip, whole.splitlines()) if line]


def _sections(command: str, typed: str) -> list[str]:
    options, bare, base = options_of(command), bare_option(command), inherited(command)
    run = {None: "", "run": " [runs/<name>]", "runs": " [runs/<name> ...]"}[bare]
    others = f"and those of `kairos {base} --help`" if base else ""
    sections = [
        f"usage: {typed}{run} [<option>=<value> ...]" if options or base else "",
        docstring(command).partition(_EXAMPLES)[0].strip(),
        "\n".join(filter(None, ["options:" if options else "", _table(list(map(_row, options))), others])),
        f"examples:\n{textwrap.indent(_examples(command), '  ')}",
        _table(_flags(command)) if options or base else "",
    ]  # fmt: skip
    return [_as_typed(text, command, typed) for text in sections]


def _flags(command: str) -> list[tuple[str, str]]:
    rows = []
    if (used := groups_of(command)) != []:
        some = ", ".join(f"{name}=" for name in used[:3])
        rows += [("--help groups", f"what {some} and the other groups may be; --help {used[0]}: that one alone")]
        rows += [("--config-dir FOLDER", "options of groups of your own")]
    rows += [("-m", "sweep: one run for every combination of values listed with commas")] if command == "train" else []
    return [*rows, ("--cfg job", "print the whole configuration, and do nothing")]


def _row(option: Option) -> tuple[str, str]:
    if option.value == "???":
        return f"{option.name}=...", f"required: {option.comment}"
    return f"{option.name}={option.value}", option.comment


def _as_typed(text: str, command: str, typed: str) -> str:
    """With every `kairos <command>` begun as this command was: `python scripts/<command>.py`."""
    before, _, after = typed.rpartition(command)
    return re.sub(rf"\bkairos ({'|'.join(commands())})\b", lambda found: f"{before}{found[1]}{after}", text)


def _examples(command: str) -> str:
    return textwrap.dedent(docstring(command).partition(_EXAMPLES)[2]).strip("\n")


def _groups_text(command: str, asked: Sequence[str], roots: Sequence[Path]) -> str:
    """The groups that the command has, or those that are asked for, and their parts (`experiment/mini`)."""
    wanted = asked or groups_of(command)
    found = [name for name in groups(roots) if name in wanted or name.partition("/")[0] in wanted]
    texts = [
        f"{name}=<option>{f': {purpose(name)}' if purpose(name) else ''}\n{_table(list(listed(name, roots)))}"
        for name in found
    ]
    return "\n\n".join(texts)


def _own(arguments: Sequence[str]) -> list[Path]:
    """The folders that follow --config-dir."""
    flags = ("--config-dir", "-cd")
    return [Path(following) for flag, following in pairwise(arguments) if flag in flags]


def _table(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns; the second is wrapped within the terminal's width, and begins below a first that is too long."""
    room = max(80, min(shutil.get_terminal_size((110, 24)).columns, 140))
    column = min(28, max((len(name) for name, _ in rows), default=0)) + 4
    lines = []
    for name, text in rows:
        wrapped = [line for part in text.splitlines() for line in _wrapped(part, room - column)] or [""]
        head = f"  {name}"
        first = [f"{head:<{column}}{wrapped.pop(0)}"] if len(head) < column - 1 else [head]
        lines += [line.rstrip() for line in (*first, *(" " * column + line for line in wrapped))]
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
