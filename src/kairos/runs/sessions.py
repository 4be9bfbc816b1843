"""Measures how long a run took over all its sessions, killed ones included."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kairos.core.seals import BrokenFile, read_state, write_state

_FILE = "sessions.json"
_SIGNS = ("metrics.jsonl", "rollouts.jsonl", _FILE)


@dataclass(frozen=True)
class Session:
    """One process's work on a run."""

    started: float
    """Seconds since the epoch."""
    seconds: float | None = None
    """How long it took; None while it lasts, and after it was killed."""
    remarks: tuple[str, ...] = ()
    """What there was to say about the checkpoint that it began from."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "remarks", tuple(str(remark) for remark in self.remarks))
        numbers = [self.started, *([] if self.seconds is None else [self.seconds])]
        if not all(isinstance(n, int | float) and math.isfinite(n) and n >= 0 for n in numbers):
            raise ValueError(f"a session has its start and its length in seconds, got {numbers}")


def begin_session(run: Path, started: float, remarks: Sequence[str] = ()) -> None:
    """Note that a session began at `started` (seconds since the epoch), and remarks on what it began from.

    A previous session without an end is taken to have lasted until the run's files were last written.
    """
    sessions = _read(run)
    if sessions and sessions[-1].seconds is None:
        sessions[-1] = replace(sessions[-1], seconds=max(0.0, _last_sign(run) - sessions[-1].started))
    _write(run, [*sessions, Session(started, remarks=tuple(remarks))])


def end_session(run: Path, ended: float) -> float:
    """Note that the running session ended, and give the seconds of all sessions."""
    sessions = _read(run)
    if sessions:
        sessions[-1] = replace(sessions[-1], seconds=max(0.0, ended - sessions[-1].started))
        _write(run, sessions)
    return sum(session.seconds or 0.0 for session in sessions)


def _last_sign(run: Path) -> float:
    return max(path.stat().st_mtime for name in _SIGNS if (path := run / name).exists())


def _read(run: Path) -> list[Session]:
    """BrokenFile, with the remedy, for a file that `_write` did not write."""
    path = run / _FILE
    if not path.exists():
        return []
    try:
        return [Session(**row) for row in json.loads(read_state(path))]
    except BrokenFile:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise BrokenFile(
            f"{path} is no list of sessions ({error}): remove it, and only their length is lost"
        ) from error


def _write(run: Path, sessions: Sequence[Session]) -> None:
    rows = [
        {name: value for name, value in asdict(session).items() if name != "remarks" or value} for session in sessions
    ]
    write_state(run / _FILE, json.dumps(rows) + "\n")
