"""The small server answers this machine's own pages, and nobody else."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from threading import Thread

import pytest

from kairos.report.loopback import TEXT, Asked, Reply, server


@pytest.fixture
def served() -> Iterator[ThreadingHTTPServer]:
    def echo(asked: Asked) -> Reply:
        return Reply(asked.query.get("word", "").encode() + asked.body, TEXT)

    made = server({"GET /": echo, "POST /": echo}, largest=10)
    Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def asked(made: ThreadingHTTPServer, method: str = "GET", path: str = "/", body: bytes = b"", **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", made.server_address[1], timeout=10)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def test_only_this_machines_own_pages_are_answered(served: ThreadingHTTPServer) -> None:
    here = f"127.0.0.1:{served.server_address[1]}"
    assert served.server_address[0] == "127.0.0.1"
    assert asked(served, path="/?word=yes") == (200, "yes")
    assert asked(served, "POST", "/?word=yes", b" too", Origin=f"http://{here}") == (200, "yes too")
    assert asked(served, "POST", body=b"x", Origin="http://elsewhere.example")[0] == 403, "another site's page"
    assert asked(served, Host=f"elsewhere.example:{served.server_address[1]}")[0] == 403, "a name that was rebound"
    assert asked(served, path="/etc/passwd")[0] == 404
    assert asked(served, "POST", body=b"x" * 11) == (413, "at most 0 MiB\n")


def test_a_port_that_is_taken_is_named(served: ThreadingHTTPServer) -> None:
    with pytest.raises(ValueError, match=f"port={served.server_address[1]} cannot be used"):
        server({}, served.server_address[1])
