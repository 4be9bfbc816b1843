"""Writes docs/configuration.md from the comments of conf/.

python -m kairos.entry.configuration > docs/configuration.md
"""

from __future__ import annotations

from collections.abc import Iterator

from kairos.entry.described import commands, summary
from kairos.entry.groups import groups, listed, purpose
from kairos.entry.options import options_of

_HEAD = """# Configuration

Written by `python -m kairos.entry.configuration` from the comments of `conf/`; a test says when it is stale.
`kairos <command> --help` prints the same for one command, `--help groups` the groups. On the command line:
`option=value`, `group=option`, `group.key=value`; which goes before which says [The first run](first-run.md)."""


def page() -> str:
    """The whole page, in markdown."""
    return "\n\n".join([_HEAD, *_commands(), "## Groups", *_groups()]) + "\n"


def _commands() -> Iterator[str]:
    for command in commands():
        if options := options_of(command):
            rows = [f"| `{one.name}` | `{_cell(one.value)}` | {_cell(one.comment)} |" for one in options]
            table = "\n".join(["| option | default | what it is |", "|---|---|---|", *rows])
            yield f"## `kairos {command}`\n\n{summary(command)}\n\n{table}"


def _groups() -> Iterator[str]:
    for group in groups():
        rows = [f"| `{name}` | {_cell(said)} |" for name, said in listed(group)]
        said = purpose(group)
        table = "\n".join([f"| `{group}=` | what it is |", "|---|---|", *rows])
        yield f"### `{group}`\n\n" + (f"{said[0].upper()}{said[1:]}.\n\n" if said else "") + table


def _cell(text: str) -> str:
    """Text for one cell of a table; lines become sentences beside one another."""
    return text.replace("|", "\\|").replace("\n", "<br>")


if __name__ == "__main__":
    print(page(), end="")
