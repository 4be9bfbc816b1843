"""Names run folders after their overrides: the same overrides always give the same folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from kairos.runs.keys import key_of, meaning
from kairos.runs.options import option

_LONGEST = 200  # characters; file systems allow 255
_READABLE = 60  # characters of a name before its hash
_ALWAYS = ("experiment", "seed")
"""Overrides that stand in the name of a sweep's job, also where they do not vary."""


def run_folder(run: str | None, name: str | None, overrides: Sequence[str], runs: Path = Path("runs")) -> Path:
    """The folder `run` where one is given, else `<runs>/<name>`, by default named after the overrides (`short_name`).

    A folder with the name that older versions gave these overrides is used where there is one.
    """
    if run or name:
        return Path(run) if run else runs / str(name)
    return _older(runs, folder_name(overrides)) or runs / short_name(overrides)


def job_folder(sweep: Path, overrides: Sequence[str], fixed: Collection[str] = ()) -> Path:
    """The folder of a sweep's job (`job_name`), or the older name of these overrides where a folder has it."""
    return _older(sweep, folder_name(overrides)) or sweep / job_name(overrides, fixed)


def sweep_folder(swept: Sequence[str], fixed: Sequence[str], runs: Path = Path("runs")) -> Path:
    """The folder of a sweep over the keys `swept` whose jobs share the overrides `fixed`.

    >>> sweep_folder(["shape", "optimizer.learning_rate"], ["data=toy", "trainer=cpu"]).as_posix()
    'runs/sweep-learning_rate-shape-toy-333f51'
    """
    older = "-".join(["sweep", *filter(None, [",".join(sorted(swept)), folder_name(fixed)])])
    keys = sorted({key.rpartition(".")[2] for key in map(key_of, swept)})
    parts = ["sweep", *keys, _option("data", fixed)]
    return _older(runs, _file_name(older)) or runs / f"{_readable(parts)}-{digest([*sorted(swept), *fixed])}"


def short_name(overrides: Sequence[str]) -> str:
    """`<method>-<data>-<hash of the overrides>`.

    >>> short_name(["seed=1", "data=toy", "trainer=cpu"])
    'timezero-toy-f784a5'
    """
    return f"{_readable([_option('method', overrides), _option('data', overrides)])}-{digest(overrides)}"


def job_name(overrides: Sequence[str], fixed: Collection[str] = ()) -> str:
    """What a sweep varies, and the hash of all overrides; `fixed` are the dotted keys that all its jobs share.

    >>> job_name(["data=toy", "seed=1", "shape=log_exp", "optimizer.learning_rate=1e-4"], ["data"])
    'learning_rate1e-4-log_exp-seed1-aad973'
    """
    varied = [o for o in sorted(overrides) if in_name(o) and (key_of(o) in _ALWAYS or key_of(o) not in fixed)]
    varied.sort(key=lambda override: key_of(override) == "seed")
    return f"{_readable([_label(override) for override in varied])}-{digest(overrides)}"


def digest(overrides: Sequence[str]) -> str:
    """Six hexadecimal digits of the overrides that change a run, in whatever order."""
    return hashlib.sha256(",".join(sorted(o for o in overrides if in_name(o))).encode()).hexdigest()[:6]


def folder_name(overrides: Sequence[str]) -> str:
    """The sorted overrides as the name of a folder, without those that change no method; "default" without any.

    >>> folder_name(["seed=1", "data=toy", "trainer=cpu"])
    'data=toy,seed=1'
    """
    return _file_name(",".join(sorted(o for o in overrides if in_name(o))) or "default")


def report_name(runs: Sequence[Path]) -> str:
    """The folder name of a comparison of these runs."""
    return _file_name("report-" + ",".join(run.name for run in runs))


def in_name(override: str) -> bool:
    """Whether an override, or a key, is part of a folder's name."""
    return meaning(key_of(override)).named


def _option(group: str, overrides: Sequence[str]) -> str:
    """The option of a group, or the user's own experiment that may say it."""
    return option(group, overrides) or next((o.partition("=")[2] for o in overrides if key_of(o) == "experiment"), "")


def _label(override: str) -> str:
    """An option's name, or a number behind the last part of its key."""
    key, _, value = override.partition("=")
    value = value.strip("'\"")
    named = value[:1].isalpha() and value.lower() not in ("true", "false", "null")
    return value.rpartition("/")[2] if named else f"{key_of(key).rpartition('.')[2]}{value}"


def _readable(parts: Sequence[str]) -> str:
    """Parts of a name that needs no quotes, neither in a shell nor in an override."""
    plain = [re.sub(r"[^\w.+-]+", "_", part).strip("_.-") for part in parts]
    return "-".join(filter(None, plain))[:_READABLE].rstrip("_.-") or "run"


def _older(parent: Path, name: str) -> Path | None:
    return parent / name if (parent / name).is_dir() else None


def _file_name(name: str) -> str:
    name = re.sub(r"[^\w.,=+-]", "_", name)
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
