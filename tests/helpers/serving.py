"""A server that speaks the protocol of `vllm serve` as `rollout=vllm_server` uses it, over a policy of its own.

Its tokens are random, a function of (seed, row); the log-probs of plain texts are those of its weights, of videos -1.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kairos.core.seeds import mix
from kairos.core.types import Layout, Prompt, Rollout, RolloutGroup, Target, VideoClip
from kairos.policy.language import LanguagePolicy
from kairos.rollout.vllm import agreement
from kairos.rollout.vllm.servers.channel import Channel, Listed
from kairos.rollout.vllm.weights import take


class Receiver:
    """A policy's text tower, as `take` loads it."""

    def __init__(self, policy: LanguagePolicy) -> None:
        vision = {id(parameter) for parameter in policy.towers.vision.parameters()}
        self.held = {n: p for n, p in policy.towers.model.named_parameters() if id(p) not in vision}

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        return self.held.items()

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        loaded = set()
        for name, tensor in weights:
            self.held[name].data.copy_(tensor)
            loaded.add(name)
        return loaded


class TinyServer:
    """On a free port of 127.0.0.1 until `stop`. `asked` holds the requests for answers."""

    def __init__(self, policy: LanguagePolicy | None, port: int = 0, context: int = 1024) -> None:
        self.policy, self.context = policy, context
        self.version: str | None = None
        self.asked: list[dict[str, object]] = []
        self.late = 0.0
        """Seconds that it waits before it answers."""
        self.dies_at: int | None = None
        """It is gone when it is asked for the answer of this number."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = outer.reply(self.path, json.loads(body) if body else {})
                if reply is None:
                    self.close_connection = True
                    return
                data = json.dumps(reply).encode()
                self.send_response(404 if "error" in reply else 200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def reply(self, path: str, body: Mapping[str, object]) -> dict[str, object] | None:
        if self.policy is None:
            return {"error": "Not Found"}
        if path == "/collective_rpc":
            method, arguments = str(body["method"]), cast("list[object]", body["args"])
            known = {"holds": self.holds, "load": self.load, "join": self.join, "receive": self.receive}
            return {"results": [known[method.removeprefix("kairos_")](*arguments)]}
        if path == "/inference/v1/generate":
            time.sleep(self.late)
            self.asked.append(dict(body))
            return None if self.dies_at == len(self.asked) else self.answer(body)
        return {}

    def holds(self) -> dict[str, object]:
        return {"version": self.version, "dtype": "float32", "context": self.context, "device": "cpu"}

    def load(self, folder: object, version: object, banned: object) -> dict[str, object]:
        assert self.policy is not None and list(cast("list[int]", banned)) == list(self.policy.towers.banned)
        files = sorted(Path(str(folder)).glob("*.safetensors"))
        named = [pair for path in files for pair in load_file(path).items()]
        self.version = str(version)
        return {"sum": str(take(Receiver(self.policy), named, torch.float32))}

    def join(self, host: str, port: int, first: int, size: int, seconds: float) -> None:
        self.channel = Channel.joined(host, port, first, size, torch.device("cpu"), seconds)

    def receive(self, listed: Listed, version: str, banned: list[int]) -> dict[str, object]:
        assert self.policy is not None and banned == list(self.policy.towers.banned)
        self.version = version
        return {"sum": str(take(Receiver(self.policy), self.channel.incoming(listed, torch.float32), torch.float32))}

    def answer(self, body: Mapping[str, object]) -> dict[str, object]:
        assert self.policy is not None
        given = cast("dict[str, int]", body["sampling_params"])
        ids_L, choices = torch.tensor(body["token_ids"]), []
        for row in range(given["n"]):
            generator = torch.Generator().manual_seed(mix(given["seed"], row) >> 1)
            tokens = torch.randint(7, 400, (int(min(given["max_tokens"], 3 + row)),), generator=generator)
            logprobs = torch.full((len(tokens),), -1.0) if "features" in body else self.logprobs(ids_L, tokens)
            told = [{"token": "", "logprob": value} for value in logprobs.tolist()]
            choices.append(
                {"index": row, "token_ids": tokens.tolist(), "logprobs": {"content": told}, "finish_reason": "length"}
            )
        return {"choices": choices[::-1]}

    @torch.no_grad()
    def logprobs(self, ids_L: Tensor, tokens_A: Tensor) -> Tensor:
        assert self.policy is not None
        layout = Layout(ids_L, torch.arange(len(ids_L)).expand(3, -1), torch.zeros(0, 3, dtype=torch.long), None)
        prompt = Prompt("p", "p", "p", VideoClip("p", None, torch.zeros(0), 0.0), "", Target(), layout=layout)
        row = Rollout("", tokens_A, torch.zeros(len(tokens_A)))
        batch = agreement.batch_of([RolloutGroup(prompt, (row,))], 1.0)
        return self.policy.score_text(batch).logprobs_BA[0]
