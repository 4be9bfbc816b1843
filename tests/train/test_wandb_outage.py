"""`logger=wandb` without a server that works: the run is written offline, and says so."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers.running import curve, fit


class Broken:
    """An HTTP server on loopback that answers everything with 500."""

    def __enter__(self) -> Broken:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Fails)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Fails(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(500)

    do_GET = do_POST

    def log_message(self, *_: object) -> None: ...


def test_a_wandb_server_that_is_down_costs_a_run_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Logged in, and nobody listens there; then a server that accepts connections and answers with errors."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "3")
    with Broken() as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.port}")
        broken = fit("name=broken", "iterations=1", "logger=wandb")
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.port}")
    down = fit("name=down", "iterations=1", "logger=wandb")
    for run in (broken, down):
        assert len(curve(run.folder, "reward/total")) == 1
        assert list(run.folder.glob("wandb/offline-run-*"))
    assert capfd.readouterr().err.count("wandb cannot be reached, so its run is written offline") == 2
