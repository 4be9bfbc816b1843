"""The folder of one run: its files, its state (new, begun, finished), and what may change when the run goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil
import yaml

from kairos.core.files import UNFINISHED
from kairos.core.seals import BrokenFile, read_state, write_state
from kairos.core.spelling import close, did_you_mean
from kairos.runs.keys import dotted, key_of, meaning
from kairos.runs.renamed import added, new_overrides, old_names, with_new_names

FINISHED = "summary.json"
LOG = "log.txt"
"""Output of the run's processes, if a launcher recorded it."""
_REMEDY = "Restore the file from a copy, or start the run again under another name="
LOCK = ".lock"
"""Held by the process that writes to the folder (`kairos.runs.lock`), and says which."""


_FIRST_FILES = ("overrides.yaml", "versions.txt", "template.yaml", "config.yaml")
"""In the order in which they are written: a run that was killed among them leaves no others, but for their seals."""


_COMPUTED = ("metrics.jsonl", "rollouts.jsonl", "predictions", "checkpoints")
"""What there is of a run as soon as it has computed something."""


class RunError(ValueError):
    """A run folder cannot be used as requested; the message says what to do instead."""


@dataclass(frozen=True)
class RunFolder:
    """`runs/<name>/` with config.yaml, overrides.yaml, versions.txt, metrics.jsonl, rollouts.jsonl, checkpoints/ ..."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def begun(self) -> bool:
        return (self.path / "config.yaml").exists()

    @property
    def finished(self) -> bool:
        return (self.path / FINISHED).exists()

    def overrides(self) -> list[str]:
        """The overrides that the run began with, in today's names, without those that concern one command only."""
        kept = [override for override in self._overrides() if meaning(key_of(override)).kept]
        return new_overrides(kept, self._config())

    def config(self) -> dict[str, object]:
        """The resolved configuration that the run began with, in today's names."""
        return dict(cast("Mapping[str, object]", with_new_names(self._config())))

    def outdated(self) -> str | None:
        """A message about a run that was begun when parts had other names; None if no name has changed."""
        found = old_names(self._config()) | old_names(self._overrides())
        if not found:
            return None
        first, *more = [f"{old} is {new}" for old, new in found.items()]
        others = f" and {len(more)} more" if more else ""
        return f"{self.path} was begun with older names, which are read as today's: {first}{others}"

    def begin(
        self,
        config: Mapping[str, object],
        overrides: Sequence[str],
        versions: str,
        allow_changes: bool = False,
        wording: Mapping[str, str] | None = None,
    ) -> None:
        """Write what is run, and mark the run unfinished; RunError if it was begun with another method.

        `wording` is the template's wording, to compare with when the weights are used later.
        """
        if self.begun:
            self.check(config, allow_changes)
        self.path.mkdir(parents=True, exist_ok=True)
        self._write("overrides.yaml", yaml.safe_dump(list(overrides), allow_unicode=True))
        self._write("versions.txt", versions)
        if wording:
            self._write("template.yaml", yaml.safe_dump(dict(wording), sort_keys=False, allow_unicode=True))
        # Last, because a folder with it is one of a run that was begun: none of its files is missing.
        self._write("config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        (self.path / FINISHED).unlink(missing_ok=True)

    def check(self, config: Mapping[str, object], allow_changes: bool = False) -> None:
        """RunError, with the difference, if the run was begun with another method."""
        changes = differences(self.config(), config)
        if changes and not allow_changes:
            listed = "\n".join(f"  {key}: {old!r} -> {new!r}" for key, (old, new) in changes.items())
            raise RunError(
                f"{self.path} was begun with another configuration:\n{listed}\n"
                "continue it unchanged, say allow_changes=true, or choose another name="
            )

    def clear(self) -> None:
        """Empty the folder; RunError if it is not a run's. The log and the lock stay: a process may be writing them."""
        kept = (LOG, LOCK)
        held = [path for path in self.path.iterdir() if path.name not in kept] if self.path.exists() else []
        strange = [path for path in held if not any(name in path.name for name in _FIRST_FILES)]
        if strange and not self.begun:
            raise RunError(f"{self.path} is not the folder of a run: it has no config.yaml; remove it yourself")
        for path in held:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    @contextmanager
    def withdrawn_unless_started(self) -> Iterator[None]:
        """Context of a run that has just begun: an error before anything was computed empties the folder again.

        A folder with a log stays: it is a job's, and its sweep counts it.
        """
        try:
            yield
        except Exception:
            if not (self.path / LOG).exists() and not any((self.path / name).exists() for name in _COMPUTED):
                self.clear()
            raise

    def sweep(self) -> list[Path]:
        """Remove files that killed processes of this machine were writing; returns them."""
        left = [path for path in self.path.rglob(f".*{UNFINISHED}") if _abandoned(path)]
        left += self.checkpoints.glob(f"[!.]*{UNFINISHED}")  # of older versions
        for path in left:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        return left

    def _refuse_absent(self) -> None:
        """RunError where there is no folder, with the runs beside it that may be meant, or one of a model."""
        if (self.path / "config.json").is_file() and not (self.path / "overrides.yaml").exists():
            raise RunError(
                f"{self.path} is a Hugging Face folder and no run: say policy.weights={self.path}, or name its run"
            )
        if self.path.is_dir():
            return
        beside = sorted(p.name for p in self.path.parent.iterdir() if p.is_dir()) if self.path.parent.is_dir() else []
        likely = did_you_mean([str(self.path.parent / name) for name in close(self.path.name, beside)])
        raise RunError(f"there is no run {self.path}; {likely or 'name the folder of one, such as runs/<name>'}")

    def _config(self) -> Mapping[str, object]:
        self._refuse_absent()
        config = read_yaml(self.path / "config.yaml")
        if not isinstance(config, Mapping):
            raise BrokenFile(f"{self.path / 'config.yaml'} holds no configuration. {_REMEDY}")
        return cast("Mapping[str, object]", config)

    def _overrides(self) -> list[str]:
        self._refuse_absent()
        listed = read_yaml(self.path / "overrides.yaml")
        if not isinstance(listed, list) or not all(isinstance(override, str) for override in listed):
            raise RunError(
                f"{self.path / 'overrides.yaml'} must be a list of overrides, each a text key=value. {_REMEDY}"
            )
        return cast("list[str]", listed)

    def _write(self, name: str, text: str) -> None:
        write_state(self.path / name, text)


def read_yaml(path: Path) -> object:
    """The content of a YAML file of a run. BrokenFile or RunError, with line and remedy, if it is damaged."""
    try:
        return yaml.load(read_state(path), PlainLoader)
    except FileNotFoundError as error:
        raise BrokenFile(f"{path} is missing. {_REMEDY}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}\n{_REMEDY}") from error


class PlainLoader(yaml.SafeLoader):
    """Refuses aliases of aliases: a few lines of them stand for more than a memory holds."""

    anchored = 0
    """Anchored nodes that are open."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            if self.anchored:
                raise yaml.MarkedYAMLError(problem="an alias below an anchor", problem_mark=event.start_mark)
            return super().compose_node(parent, index)
        anchored = getattr(event, "anchor", None) is not None
        self.anchored += anchored
        node = super().compose_node(parent, index)
        self.anchored -= anchored
        return node


def find_run(name: str) -> Path:
    """The folder `name`, or `runs/<name>` if only that exists."""
    below = Path("runs") / name
    return below if not Path(name).exists() and below.exists() else Path(name)


def differences(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Dotted keys that differ and must not change in a run: (old, new), None for an absent key."""
    before, after = dotted(old), dotted(new)
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
        and meaning(key).fixed
        and not (key not in before and added(key, after[key]))
    }


def reworded(weights: object, wording: Mapping[str, str]) -> str | None:
    """A message on how `wording` differs from that with which `weights` (a run, its checkpoint or model/) were trained.

    None if it does not differ, or if theirs is unknown.
    """
    if not isinstance(weights, str):
        return None
    path = Path(weights)
    written = next((f for p in (path, path.parent, path.parent.parent) if (f := p / "template.yaml").is_file()), None)
    if written is None:
        return None
    read = read_yaml(written)
    if not isinstance(read, Mapping):
        raise BrokenFile(f"{written} holds no wording: remove it, and the wordings are not compared")
    trained = cast("Mapping[str, str]", read)
    names = [name for name in {**trained, **wording} if trained.get(name) != wording.get(name)]
    lines = [f"  {name}: {trained.get(name)!r} -> {wording.get(name)!r}" for name in names]
    return "\n".join([f"the template is not the one that {weights} was trained with:", *lines]) if names else None


def _abandoned(unfinished: Path) -> bool:
    """Whether no process writes this file any more; `.<name>.<process id>.unfinished`, see `kairos.core.files`."""
    process = unfinished.name.removesuffix(UNFINISHED).rpartition(".")[2]
    return process.isdigit() and (int(process) == os.getpid() or not psutil.pid_exists(int(process)))
