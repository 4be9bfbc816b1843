"""Config groups: what each is for and its options, by the comments of conf/ and of a user's --config-dir."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from kairos.entry.options import CONF, inherited

_DEFAULT = re.compile(r"^\s*- (?:override /)?([\w/]+): *(\S+)(?: +# (.*))?$", re.MULTILINE)
_FIRST = ("policy", "data", "method")


def groups(roots: Sequence[Path] = (CONF,)) -> list[str]:
    """The names of all groups below these folders: `policy`, `experiment/mini`."""
    files = (file.relative_to(root) for root in roots for file in root.rglob("*.yaml"))
    return sorted({file.parent.as_posix() for file in files} - {"."})


def groups_of(command: str) -> list[str]:
    """The groups that the defaults of conf/<command>.yaml name, with those of the command that it inherits from.

    The ones that a user sets most come first.
    """
    file, base = CONF / f"{command}.yaml", inherited(command)
    own = [name for name, _, _ in _DEFAULT.findall(file.read_text(encoding="utf-8"))] if file.exists() else []
    found = {*own, *(groups_of(base) if base else [])}
    return sorted(found, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))


def purpose(group: str) -> str:
    """What a group is for: the comment beside it in a list of defaults."""
    for file in sorted(CONF.glob("*.yaml"), key=lambda file: file.name != "train.yaml"):
        for name, _, comment in _DEFAULT.findall(file.read_text(encoding="utf-8")):
            if name == group and comment:
                return comment
    return ""


def listed(group: str, roots: Sequence[Path] = (CONF,)) -> Iterator[tuple[str, str]]:
    """(option, what it is) of a group."""
    found = {file.stem: file for root in roots for file in sorted((root / group).glob("*.yaml"))}
    yield from ((name, first_sentence(found[name].read_text(encoding="utf-8"))) for name in sorted(found))


def first_sentence(text: str) -> str:
    """The first sentence of the comment that begins a yaml text, but for Hydra's own `# @package`.

    >>> first_sentence("# @package _global_\\n# Adam with a decay\\n# of 0.1. More.\\nkind: adam")
    'Adam with a decay of 0.1.'
    """
    said: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        said += [] if line.startswith("# @") else [line.lstrip("# ")]
    whole = " ".join(said)
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", whole, maxsplit=1)[0]
