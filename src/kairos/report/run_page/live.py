"""The page of a live run, drawn again when the run has written more."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

from kairos.report.loopback import TEXT, Asked, Reply, server
from kairos.report.run_page.page import report_of

_WATCHED = ("metrics.jsonl", "rollouts.jsonl", "summary.json", "predictions/before.jsonl", "predictions/after.jsonl")


@dataclass
class LivePage:
    """The page of the run in `folder`."""

    folder: Path
    _drawn: tuple[str, bytes] = ("", b"")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def version(self) -> str:
        """Changes whenever the run has written something that the page shows."""
        states = [path.stat() if (path := self.folder / name).exists() else None for name in _WATCHED]
        said = [(state.st_size, state.st_mtime_ns) if state else None for state in states]
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]

    def page(self) -> bytes:
        """The page as of now; ValueError where a file of the run is damaged."""
        with self._lock:
            version = self.version()
            if self._drawn[0] != version:
                self._drawn = version, report_of(self.folder, version=version).encode()
            return self._drawn[1]


def live_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server on loopback, not yet running, of a run's page. ValueError if the port is taken or there is no run."""
    live = LivePage(folder)
    live.page()

    def page(asked: Asked) -> Reply:
        del asked
        try:
            return Reply(live.page())
        except ValueError as error:  # a file that is being replaced, or is damaged
            return Reply(f"{error}\n".encode(errors="backslashreplace"), TEXT, 500)

    return server({"GET /": page, "GET /version": lambda _: Reply(live.version().encode(), TEXT)}, port)
