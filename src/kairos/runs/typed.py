"""Gives the command line that began this process, as its user can type it again."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from kairos.runs.environment import Environment
from kairos.runs.keys import key_of

_ONCE = ("overwrite",)
"""What would begin again what is to go on."""


def typed_again() -> str | None:
    """The command line, quoted for a shell, that goes on with what this process began; None outside a command."""
    words = sys.orig_argv
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun's processes: the command is torchrun's
        words = psutil.Process(os.getppid()).cmdline()
    return again(words)


def repeat_to(do: str) -> str:
    """What to repeat, and with what effect: `repeat the command to go on`, and the command below where it is known."""
    command = typed_again()
    return f"repeat the command {do}" + (f":\n  {command}" if command else "")


def again(words: Sequence[str]) -> str | None:
    """The command of these words without what begins a run again, and with the PYTHONPATH of a user's own parts.

    >>> again(["kairos", "train", "name=a", "overwrite=true", "reward={a: b}"])
    "kairos train name=a 'reward={a: b}'"
    """
    names = [Path(word).name for word in words]
    start = next((place for place, name in enumerate(names) if name == "kairos" or _is_script(words[place])), None)
    if start is None:
        return None
    kept = [word for word in words if key_of(word) not in _ONCE or "=" not in word]
    if start == 1 and names[1] == "kairos" and os.access(words[1], os.X_OK):  # its first line names the interpreter
        found = shutil.which("kairos")
        kept[:2] = ["kairos"] if found and Path(found).resolve() == Path(words[1]).resolve() else [words[1]]
    own = os.pathsep.join(Environment.given(None).python_path)
    return " ".join(filter(None, [f"PYTHONPATH={shlex.quote(own)}" if own else "", shlex.join(kept)]))


def _is_script(word: str) -> bool:
    folder = Path(word).resolve().parent
    return word.endswith(".py") and folder.name == "scripts" and (folder.parent / "src" / "kairos").is_dir()
