"""`logger=wandb` for a user logged in to a server that does not answer: the run is written offline, and says so."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from helpers.processes import run
from helpers.running import TOY, rows


def test_a_wandb_server_that_is_down_costs_a_run_nothing(
    monkeypatch: pytest.MonkeyPatch, workplace: Path, repository: Path
):
    """In a process of its own: wandb remembers for a whole process which server answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # where nobody listens from here on
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    done = run(["SCRIPT", *TOY, "name=down", "iterations=1", "logger=wandb"], workplace, repository)
    assert done.returncode == 0, done.stderr
    assert len(rows(workplace / "runs" / "down" / "metrics.jsonl")) == 1
    assert list((workplace / "runs" / "down").glob("wandb/offline-run-*"))
    assert done.stderr.count("wandb cannot be reached, so its run is written offline") == 1
