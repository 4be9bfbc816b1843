"""The rollout engine that samples with `vllm serve` processes: on other GPUs, on other hosts."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from kairos.core.protocols import Policy
from kairos.core.ranks import total
from kairos.core.types import Prompt, RolloutGroup, Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.layouts import layout_of
from kairos.rollout.vllm import agreement
from kairos.rollout.vllm.requests import seed_of
from kairos.rollout.vllm.servers import wire
from kairos.rollout.vllm.servers.carriers import Carrier, Files, Network, rank
from kairos.rollout.vllm.servers.client import Server, together

_PROBED = Sampling(max_actions=16, group_size=1)
_SLACK = 4.0
"""The probe's few tokens may differ by this many times `tolerance`."""


class VLLMServers:
    """Asks `servers` (addresses) in turn for the answers to prompts; each has the same weights.

    Layout, positions and video features are the policy's, as in `VLLM`, and travel with each prompt. A `sync` writes
    the weights to a folder that the servers see (`exchange`; null: in memory of this host) or passes them on over the
    network (`weights`), compares their bits, and lets a probe answer. After every roll-out each server says which
    weights it holds.
    ServerFailed for a server that is gone, late (`timeout_seconds`) or holds other weights. With `ahead=1` servers
    sample while the policy learns.
    """

    asks_policy = True

    def __init__(
        self,
        servers: Sequence[str],
        weights: str = "files",
        exchange: str | None = None,
        timeout_seconds: float = 600.0,
        tolerance: float | None = 0.05,
        checked_rows: int = 8,
        ahead: int = 0,
    ) -> None:
        if not servers:
            raise ValueError("rollout.servers is empty: give addresses such as [http://127.0.0.1:8000]")
        if timeout_seconds <= 0 or checked_rows < 1 or (tolerance is not None and tolerance <= 0):
            raise ValueError(
                "rollout.timeout_seconds must be > 0, rollout.checked_rows >= 1 and rollout.tolerance > 0 or null, got "
                f"{timeout_seconds}, {checked_rows} and {tolerance}"
            )
        self.servers = [Server(url, timeout_seconds) for url in servers]
        if weights not in ("files", "network"):
            raise ValueError(f"rollout.weights must be files or network, got {weights!r}")
        place = None if exchange is None else Path(exchange)
        self.carrier: Carrier = Files(place) if weights == "files" else Network()
        self.tolerance, self.checked_rows, self.ahead = tolerance, checked_rows, ahead
        self.syncs = self.rollouts = 0
        self.gap_of_probe = 0.0
        self._token, self._version = uuid.uuid4().hex[:8], ""
        self._policy: LanguagePolicy | None = None
        self._context, self._dtype, self._compared = 0, torch.float32, False

    def setup(self, device: torch.device) -> None:
        """ServerFailed where one does not answer, ValueError where they differ in dtype or context."""
        del device
        held = [(str(said["dtype"]), int(str(said["context"]))) for said in (one.holds() for one in self.servers)]
        if len(set(held)) > 1:
            named = ", ".join(
                f"{one.url}: {dtype}, {context} tokens"
                for one, (dtype, context) in zip(self.servers, held, strict=True)
            )
            raise ValueError(f"rollout.servers differ in dtype or context: start them alike. {named}")
        self._dtype, self._context = getattr(torch, held[0][0]), held[0][1]

    def sync(self, policy: Policy) -> None:
        """ValueError for a policy that is no language policy; NotSynced, Disagreement where weights did not arrive."""
        if not isinstance(policy, LanguagePolicy):
            raise ValueError(f"rollout=vllm_server samples from a language policy, not from a {type(policy).__name__}")
        self._policy, self.syncs = policy, self.syncs + 1
        self._version = f"{self._shared_token()}-{self.syncs}"
        self.carrier.carry(self.servers, policy, self._version, self._dtype)
        self.gap_of_probe = self._probe()
        if self.tolerance is not None:
            agreement.check_answer(self.gap_of_probe, _SLACK * self.tolerance)

    def generate(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        groups = self.begin(prompts, group_size, sampling, seed)()
        if not self._compared and sampling.temperature and not (sampling.top_k or sampling.top_p < 1):
            self._compare(groups, sampling.temperature)
        return groups

    def begin(
        self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int
    ) -> Callable[[], list[RolloutGroup]]:
        """Show the clips to the policy's tower and send the requests; what is returned waits for the answers."""
        policy = self._policy
        if policy is None:
            raise RuntimeError("the servers have no weights: call sync(policy) first")
        prompts, seen = policy.look(prompts, sampling.max_actions)
        self._check_length(prompts, sampling)
        video = policy.towers.video_token
        counts = [int((layout_of(prompt).ids_L == video).sum()) for prompt in prompts]
        features = [wire.features_of(part) for part in agreement.split(seen, counts)]
        return self._asked(prompts, features, group_size, sampling, seed)

    def release(self) -> None: ...

    def _asked(
        self,
        prompts: Sequence[Prompt],
        features: Sequence[torch.Tensor | None],
        rows: int,
        sampling: Sampling,
        seed: int,
    ) -> Callable[[], list[RolloutGroup]]:
        assert self._policy is not None
        processor, version = self._policy.processor, self._version
        asked = wire.Asked(rows, sampling, processor.end, self._policy.towers.video_token, version)
        self.rollouts += 1
        jobs: list[Callable[[], dict[str, object]]] = []
        for number, (prompt, part) in enumerate(zip(prompts, features, strict=True)):
            name = f"{version}-{rank()}-{self.rollouts}-{number}"  # no name comes twice
            body = asked.body(name, layout_of(prompt), part, seed_of(seed, prompt))
            jobs.append(functools.partial(self.servers[number % len(self.servers)].answer, body))
        replies = together(jobs)

        def groups() -> list[RolloutGroup]:
            answers = replies()
            for one in self.servers[: len(jobs)]:
                one.check_version(version)
            return [
                wire.group(prompt, answer, rows, sampling, processor)
                for prompt, answer in zip(prompts, answers, strict=True)
            ]

        return groups

    def _probe(self) -> float:
        """How far the furthest server is from the policy on a text without a video, in nats a token."""
        assert self._policy is not None
        text = agreement.text_prompt(self._policy)
        count = len(self.servers)
        groups = self._asked([text] * count, [None] * count, 1, _PROBED, self.syncs)()
        return max(agreement.gap(self._policy, [group], _PROBED.temperature, video=False) for group in groups)

    def _compare(self, groups: Sequence[RolloutGroup], temperature: float) -> None:
        assert self._policy is not None
        checked = agreement.first_rows(groups, self.checked_rows)
        if self.tolerance is not None:
            found = agreement.gap(self._policy, checked, temperature)
            if not found <= self.tolerance:
                raise agreement.disagreement(found, self.tolerance, self._probe(), [])
        self._compared = True

    def _check_length(self, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        longest = max((len(layout_of(prompt)) for prompt in prompts), default=0) + sampling.max_actions
        if longest > self._context:
            raise ValueError(
                f"a prompt and its answer may have {longest} tokens together, and the servers take {self._context}: "
                "start them with a larger context, or lower sampling.max_actions or the frames' size"
            )

    def _shared_token(self) -> str:
        """The main process's token, on every rank."""
        return f"{int(total(torch.tensor(float(int(self._token, 16) if rank() == 0 else 0), dtype=torch.float64))):08x}"
