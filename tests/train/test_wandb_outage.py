"""`logger=wandb` for a user logged in to a server that does not answer: the run is written offline, and says so."""

from __future__ import annotations

import socket

import pytest
import wandb
from helpers.running import curve, fit


def test_a_wandb_server_that_is_down_costs_a_run_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # where nobody listens from here on
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    wandb.teardown()  # what another test's run has found out about its server
    run = fit("name=down", "iterations=1", "logger=wandb")
    assert len(curve(run.folder, "reward/total")) == 1
    assert list(run.folder.glob("wandb/offline-run-*"))
    assert capfd.readouterr().err.count("wandb cannot be reached, so its run is written offline") == 1
