"""Names run folders after their overrides: the same overrides always give the same folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from kairos.runs.keys import key_of, meaning

_LONGEST = 200  # characters; file systems allow 255


def run_folder(run: str | None, name: str | None, overrides: Sequence[str]) -> Path:
    """The folder `run` where one is given, else `runs/<name>`; without a name the sorted overrides are the name."""
    return Path(run) if run else Path("runs") / (name or folder_name(overrides))


def folder_name(overrides: Sequence[str]) -> str:
    """The sorted overrides as the name of a folder, without those that change no method; "default" without any.

    >>> folder_name(["seed=1", "data=toy", "trainer=cpu"])
    'data=toy,seed=1'
    """
    return _file_name(",".join(sorted(o for o in overrides if in_name(o))) or "default")


def sweep_name(swept: Sequence[str], fixed: Sequence[str]) -> str:
    """The keys that a sweep varies and the overrides that all its jobs share, as the name of its folder.

    >>> sweep_name(["shape", "seed"], ["data=toy", "trainer=cpu"])
    'sweep-seed,shape-data=toy'
    """
    return _file_name("-".join(["sweep", *filter(None, [",".join(sorted(swept)), folder_name(fixed)])]))


def report_name(runs: Sequence[Path]) -> str:
    """The folder name of a comparison of these runs."""
    return _file_name("report-" + ",".join(run.name for run in runs))


def in_name(override: str) -> bool:
    """Whether an override, or a key, is part of a folder's name."""
    return meaning(key_of(override)).named


def _file_name(name: str) -> str:
    name = re.sub(r"[^\w.,=+-]", "_", name)
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
