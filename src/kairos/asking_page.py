"""The page on which one drops a clip and asks, on this machine only."""

from __future__ import annotations

import base64
import json
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from kairos.asking import VIDEOS, Answered, Asker, CannotAsk, Question
from kairos.report.html import html
from kairos.report.loopback import JSON, Asked, Reply, server
from kairos.report.scripts import Script

LARGEST = 2**30
"""Bytes of a clip."""


def ask_server(asker: Asker, port: int = 0) -> ThreadingHTTPServer:
    """A server on loopback, not yet running. Clips are kept no longer than it takes to answer."""
    page = html("asking", {"name": "Ask about a clip", "asking": Script.of("elements", "asking").values(served=True)})
    alone = threading.Lock()

    def ask(asked: Asked) -> Reply:
        suffix = Path(asked.query.get("name", "")).suffix.lower()
        options = tuple(line.strip() for line in asked.query.get("options", "").splitlines() if line.strip())
        try:
            if suffix not in VIDEOS:
                raise CannotAsk(
                    f"a clip is a file such as {', '.join(sorted(VIDEOS)[:6])}, not {suffix or 'one without suffix'}"
                )
            with alone, TemporaryDirectory() as folder:
                clip = Path(folder) / f"clip{suffix}"
                clip.write_bytes(asked.body)
                return _reply(told(asker.ask(Question(str(clip), asked.query.get("query", ""), options)), Path(folder)))
        except ValueError as error:
            return _reply({"failed": str(error)}, 400)

    return server({"GET /": lambda _: Reply(page.encode()), "POST /ask": ask}, port, LARGEST)


def told(found: Answered, folder: Path) -> dict[str, object]:
    """An answer as the page reads it."""
    picture = found.save(folder / "answer.png").read_bytes()
    return {
        "spans": [list(span) for span in found.spans],
        "choice": found.choice,
        "text": found.text,
        "reason": found.reason,
        "duration": found.duration,
        "picture": f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}",
    }


def _reply(tree: dict[str, object], status: int = 200) -> Reply:
    return Reply(json.dumps(tree).encode(), JSON, status)
