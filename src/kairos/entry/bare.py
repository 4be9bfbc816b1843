"""Words of a command line that are no option: folders of runs, `rollouts.py runs/mine` for `run=runs/mine`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from kairos.core.spelling import close, did_you_mean
from kairos.entry.options import options_of
from kairos.options.quoting import quoted

_WITH_A_VALUE = {
    "--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p", "--cfg", "-c", "--info",
    "-i", "--experimental-rerun",
}  # fmt: skip
"""Hydra's flags whose value is the next word."""
_PLAIN = re.compile(r"[\w./-]+")


def bare_option(command: str) -> str | None:
    """The option that bare words are: `runs` or `run` of conf/<command>.yaml; None if it has neither."""
    names = {option.name for option in options_of(command)}
    return next((name for name in ("runs", "run") if name in names), None)


def bare_words(arguments: Sequence[str]) -> list[int]:
    """Where the words lie that are neither a flag, nor its value, nor an override.

    The folder of a run may have `=` in its name: such a word is bare where the folder is there.
    """
    before = ["", *arguments]
    return [
        index
        for index, word in enumerate(arguments)
        if before[index] not in _WITH_A_VALUE and not word.startswith(("-", "+", "~")) and _is_bare(word)
    ]


def with_names(command: str, arguments: Sequence[str]) -> list[str]:
    """The arguments with `run=` or `runs=` before their bare words.

    ValueError for a bare word that is no folder of a run, for several where one is meant, and for any if the command
    takes none.
    """
    bare, option = bare_words(arguments), bare_option(command)
    if not bare:
        return list(arguments)
    words = [arguments[index] for index in bare]
    if option is None:
        raise ValueError(f"{words[0]!r} is no option: say <option>=<value>; --help lists the options")
    words = [_folder(command, word) for word in words]
    if option == "run" and len(words) > 1:
        raise ValueError(f"one run at a time, got {' and '.join(words)}")
    values = [word if _PLAIN.fullmatch(word) else quoted(word) for word in words]
    left = [word for index, word in enumerate(arguments) if index not in bare]
    if any(word.startswith(f"{option}=") for word in left):
        raise ValueError(f"{words[0]!r} beside {option}=: name the runs once")
    return [*left, f"run={values[0]}" if option == "run" else f"runs=[{','.join(values)}]"]


def _is_bare(word: str) -> bool:
    return "=" not in word or ("/" in word.partition("=")[0] and Path(word).is_dir())


def _folder(command: str, word: str) -> str:
    """The folder that a bare word names: itself, or else `runs/<word>`; ValueError if neither is there."""
    for folder in (Path(word), Path("runs") / word):
        if folder.is_dir():
            return str(folder)
    if Path(word).exists():
        raise ValueError(f"{word} is no folder of a run; a file is named by its option, such as input=")
    there = _folders(Path(word).parent) if "/" in word else [*_folders(Path("runs"))]
    if word in {option.name for option in options_of(command)}:
        raise ValueError(f"{word} is an option: say {word}=<value>")
    said = did_you_mean(close(word, [*there, *(Path(name).name for name in there)], 1))
    raise ValueError(f"no run folder {word}; {said or 'name one as runs/<name>, and options as <option>=<value>'}")


def _folders(parent: Path) -> Iterable[str]:
    return [str(path) for path in sorted(parent.iterdir()) if path.is_dir()] if parent.is_dir() else []
