"""Measures how long a run took over all its sessions, killed ones included."""

from __future__ import annotations

import json
from pathlib import Path

from kairos.runs.files import write_whole

_FILE = "sessions.json"
_SIGNS = ("metrics.jsonl", "rollouts.jsonl", _FILE)


def begin_session(run: Path, started: float) -> None:
    """Note that a session began at `started` (seconds since the epoch).

    A previous session without an end is taken to have lasted until the run's files were last written.
    """
    sessions = _read(run)
    if sessions and sessions[-1]["seconds"] is None:
        sessions[-1]["seconds"] = max(0.0, _last_sign(run) - float(sessions[-1]["started"] or 0.0))
    _write(run, [*sessions, {"started": started, "seconds": None}])


def end_session(run: Path, ended: float) -> float:
    """Note that the running session ended, and give the seconds of all sessions."""
    sessions = _read(run)
    if sessions:
        sessions[-1]["seconds"] = max(0.0, ended - float(sessions[-1]["started"] or 0.0))
        _write(run, sessions)
    return sum(float(session["seconds"] or 0.0) for session in sessions)


def _last_sign(run: Path) -> float:
    return max(path.stat().st_mtime for name in _SIGNS if (path := run / name).exists())


def _read(run: Path) -> list[dict[str, float | None]]:
    path = run / _FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _write(run: Path, sessions: list[dict[str, float | None]]) -> None:
    write_whole(run / _FILE, json.dumps(sessions) + "\n")
