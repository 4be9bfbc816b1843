"""Talks to one `vllm serve` process over HTTP, and says in one line what is wrong where it does not answer."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import TypeVar, cast

from kairos.rollout.vllm.servers.channel import Listed

Result = TypeVar("Result")
_AT_ONCE = 64
_AGAIN = "start it again (`kairos serve --help`), then continue the run with run=<its folder>"


class ServerFailed(ValueError):
    """A server is gone, late, another one than was meant, or holds other weights than it was sent."""


@dataclass(frozen=True)
class Server:
    """A server's address, such as http://127.0.0.1:8000, and how long it may take."""

    url: str
    seconds: float
    """To answer one request, or to load weights."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"rollout.servers: {self.url!r} is no address such as http://127.0.0.1:8000")

    def holds(self) -> dict[str, object]:
        """The `version` of its weights (None: random ones), their `dtype` and `device`, its `context` in tokens, and
        the number of its `workers`."""
        found = self._worker("say what it holds", "kairos_holds", [])
        return {**found[0], "workers": len(found)}

    def load(self, folder: str, version: str, banned: Sequence[int]) -> list[int]:
        """Let every worker load the weights in `folder` and forget what it computed with others; sums of their bits."""
        return self._sums(self._worker("load weights", "kairos_load", [folder, version, list(banned)]))

    def join(self, host: str, port: int, first: int, size: int) -> None:
        """Let its workers meet the trainer at `host`, as the processes `first` and following of `size`."""
        self._worker("meet the trainer", "kairos_join", [host, port, first, size, self.seconds])

    def receive(self, listed: Listed, version: str, banned: Sequence[int]) -> list[int]:
        """As `load`, for what is passed on by a `Channel` meanwhile."""
        return self._sums(self._worker("take weights", "kairos_receive", [listed, version, list(banned)]))

    def answer(self, body: Mapping[str, object]) -> dict[str, object]:
        """The reply to one prompt."""
        return self._post("/inference/v1/generate", body, f"answer prompt {body['request_id']}")

    def check_version(self, version: str) -> None:
        """ServerFailed where it holds other weights than those of `version`."""
        held = self.holds()["version"]
        if held != version:
            raise ServerFailed(
                f"{self.url} holds {'random weights' if held is None else f'weights {held}'}, and was sent {version}: "
                "it was started anew, or another run writes to it. Give every run servers of its own, and continue the "
                "run with run=<its folder>"
            )

    def _sums(self, results: Sequence[Mapping[str, object]]) -> list[int]:
        """The sums of bits that its workers said; what was computed with other weights is dropped."""
        for cache in ("prefix", "mm", "encoder"):
            self._post(f"/reset_{cache}_cache", None, f"drop its {cache} cache")
        return [int(str(result["sum"])) for result in results]

    def _worker(self, doing: str, method: str, arguments: Sequence[object]) -> list[dict[str, object]]:
        body = {"method": method, "args": list(arguments), "timeout": self.seconds}
        return cast("list[dict[str, object]]", self._post("/collective_rpc", body, doing)["results"])

    def _post(self, path: str, body: Mapping[str, object] | None, doing: str) -> dict[str, object]:
        data = b"" if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url.rstrip("/") + path, data, {"Content-Type": "application/json"})
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(asked, timeout=self.seconds) as reply:
                said = reply.read()
        except urllib.error.HTTPError as error:
            raise self._refused(error, doing) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError | socket.timeout):
                raise ServerFailed(
                    f"{self.url} did not {doing} within {self.seconds:g} s (rollout.timeout_seconds): raise that, "
                    "start more servers, or look at what the server writes; then continue the run with run=<its folder>"
                ) from error
            raise ServerFailed(f"{self.url} did not {doing}, it is gone ({reason}): {_AGAIN}") from error
        return cast("dict[str, object]", json.loads(said)) if said else {}

    def _refused(self, error: urllib.error.HTTPError, doing: str) -> ServerFailed:
        said = error.read().decode(errors="replace")[:500]
        if error.code == 404 and path_missing(said):
            return ServerFailed(
                f"{self.url} cannot {doing}: it is no vLLM server that takes weights. Start one with `kairos serve`"
            )
        return ServerFailed(f"{self.url} did not {doing}, it says {error.code}: {said}")


def path_missing(said: str) -> bool:
    """Whether a 404 is about the path itself, not about a model."""
    return "model" not in said.lower()


def together(jobs: Sequence[Callable[[], Result]]) -> Callable[[], list[Result]]:
    """Begin all jobs, each in a thread; what is returned waits for the results, in order, or raises the first error."""
    pool = ThreadPoolExecutor(max(1, min(len(jobs), _AT_ONCE)))
    begun = [pool.submit(job) for job in jobs]
    pool.shutdown(wait=False)
    return lambda: [one.result() for one in begun]
