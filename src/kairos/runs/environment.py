"""Reads and writes environment.yaml: the `--config-dir` and PYTHONPATH with which a run began."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

import kairos
from kairos.core.seals import BrokenFile, read_state, write_state

_FILE = "environment.yaml"


@dataclass(frozen=True)
class Environment:
    """Where a user's own parts are found, as absolute paths."""

    config_dir: str | None = None
    """Folder of a user's config groups."""
    python_path: tuple[str, ...] = ()
    """Folders of a user's modules."""

    @classmethod
    def given(cls, config_dir: str | None) -> Environment:
        """The environment of this process, without the folder of this package."""
        own = Path(str(kairos.__file__)).resolve().parents[1]
        folders = [Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        return cls(
            None if config_dir is None else str(Path(config_dir).resolve()),
            tuple(str(folder) for folder in folders if folder != own),
        )

    @classmethod
    def read(cls, run: Path) -> Environment:
        """The environment in a run's folder; an empty one without the file, or if `write` did not write it."""
        path = run / _FILE
        try:
            found = yaml.safe_load(read_state(path)) if path.is_file() else None
        except (yaml.YAMLError, BrokenFile):  # only a hint is lost
            found = None
        found = found if isinstance(found, dict) else {}
        listed = found.get("python_path")
        folders = [found.get("config_dir"), *(listed if isinstance(listed, list) else ())]
        config_dir, *python_path = (f if isinstance(f, str) and f.isprintable() else None for f in folders)
        return cls(config_dir, tuple(filter(None, python_path)))

    def write(self, run: Path) -> None:
        """Write into a run's folder, unless empty: a resumed run keeps what it began with."""
        if self != Environment():
            row = asdict(self) | {"python_path": list(self.python_path)}
            write_state(run / _FILE, yaml.safe_dump(row, sort_keys=False, allow_unicode=True))

    def lacking(self, given: Environment) -> str:
        """What to add to a command with the environment `given`, as shell text; empty if nothing is missing."""
        folders = [folder for folder in self.python_path if folder not in given.python_path]
        path = f"PYTHONPATH={shlex.quote(os.pathsep.join(self.python_path))}" if folders else ""
        option = (
            f"--config-dir {shlex.quote(self.config_dir)}" if self.config_dir not in (None, given.config_dir) else ""
        )
        return " ".join(filter(None, [path, option]))
