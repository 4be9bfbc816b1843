"""A small HTTP server for this machine only: pages of live runs, and the page that asks about a clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HTML, TEXT, JSON = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json"
_NAMES = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Asked:
    """A request."""

    query: Mapping[str, str]
    """What stands behind the "?"."""
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    body: bytes
    kind: str = HTML
    status: int = 200


Route = Callable[[Asked], Reply]


def server(routes: Mapping[str, Route], port: int = 0, largest: int = 0) -> ThreadingHTTPServer:
    """A server on 127.0.0.1, not yet running: `routes` by method and path, such as "GET /".

    `port` 0: any that is free. `largest`: bytes of a request's body. It answers only who asks for this machine by name,
    and sends no data to other sites' pages: a page on the web that a browser shows cannot read or use it. ValueError if
    the port is taken.
    """
    handler = type("Handler", (_Handler,), {"routes": dict(routes), "largest": largest})
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise ValueError(f"port={port} cannot be used ({error}): choose another, or 0 for any that is free") from error


def address(made: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{made.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    routes: Mapping[str, Route]
    largest: int

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        route = self.routes.get(f"{self.command} {parts.path}")
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isdigit() else -1
        if not self._from_here():
            self._send(Reply(b"only pages of this server may ask it\n", TEXT, 403))
        elif route is None:
            self._send(Reply(b"there is no such page\n", TEXT, 404))
        elif not 0 <= size <= self.largest:
            self._send(Reply(f"at most {self.largest / 2**20:.0f} MiB\n".encode(), TEXT, 413))
        else:
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            self._send(route(Asked(query, self.rfile.read(size))))

    def _from_here(self) -> bool:
        """Whether the request names this machine, and comes from no other site's page."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        return host.rpartition(":")[0] in _NAMES and (origin is None or origin == f"http://{host}")

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        del format, args
