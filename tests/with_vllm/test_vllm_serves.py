"""A real `vllm serve` process answers as the engine in a training process does, with the weights of each iteration."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from helpers.with_vllm import SERVED, TOLERANCE

from kairos.core.types import Sampling
from kairos.policy.language import LanguagePolicy
from kairos.rollout.ahead import Ahead
from kairos.rollout.live import Live
from kairos.rollout.vllm import agreement
from kairos.rollout.vllm.servers import command as serving
from kairos.rollout.vllm.servers.client import ServerFailed
from kairos.rollout.vllm.servers.engine import VLLMServers
from kairos.rollout.vllm.settings import Settings

FAMILY = "qwen3_vl"  # its videos have gaps, which hold times, and deepstack features
SAMPLING = Sampling(max_actions=12)
pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Serving:
    """A running server."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path


@pytest.fixture(scope="module")
def served(folder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("serves")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(1024, 0.25, 32, False, True, None, None, 1)
    line = serving.command(
        SERVED[FAMILY].policy(folder), place / "model", settings, torch.device("cpu"), "127.0.0.1", port
    )
    log = place / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            line, env=serving.environment(), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(process, url, log)
        yield Serving(process, url, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(process: subprocess.Popen[bytes], url: str, log: Path, seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"vllm serve does not answer:\n{log.read_text(errors='replace')[-3000:]}")


def engine_of(served: Serving, weights: str = "files") -> VLLMServers:
    made = VLLMServers([served.url], weights, tolerance=TOLERANCE[FAMILY], timeout_seconds=120.0)
    made.setup(torch.device("cpu"))
    return made


def updated(policy: LanguagePolicy) -> None:
    with torch.no_grad():
        policy.towers.text.layers[0].mlp.up_proj.weight.mul_(1.5)
        next(policy.towers.vision.parameters()).mul_(1.5)


def tokens(groups: list) -> list[list[int]]:
    return [row.actions_A.tolist() for group in groups for row in group.rollouts]


def test_samples_of_a_server_have_the_log_probs_of_the_scorer_before_and_after_an_update(folder: str, served: Serving):
    tolerance, prompts = TOLERANCE[FAMILY], SERVED[FAMILY].prompts()
    policy, engine = SERVED[FAMILY].policy(folder).eval(), engine_of(served)
    engine.sync(policy)
    assert engine.gap_of_probe <= tolerance
    first = engine.generate(prompts, 4, SAMPLING, seed=1)
    assert [len(group) for group in first] == [4, 4, 4] and len(set(map(tuple, tokens(first)))) > 6
    assert agreement.gap(policy, first, 1.0) <= tolerance
    banned, end = set(policy.towers.banned), policy.processor.end
    for row in (row for group in first for row in group.rollouts):
        written = row.actions_A.tolist()
        assert not banned & set(written) and end not in written[:-1] and row.truncated is (written[-1] != end)
    alone = [row for prompt in prompts for row in tokens(engine.generate([prompt], 4, SAMPLING, seed=1))]
    assert alone == tokens(first), "a row is a function of seed, prompt and row"

    updated(policy)
    assert agreement.gap(policy, first, 1.0) > 100 * tolerance
    engine.sync(policy)
    assert agreement.gap(policy, engine.generate(prompts, 4, SAMPLING, seed=1), 1.0) <= tolerance
    live, greedy = Live(), Sampling(temperature=0.0, max_actions=12)
    live.sync(policy)
    assert tokens(engine.generate(prompts, 2, greedy, 0)) == tokens(live.generate(prompts, 2, greedy, 0))


def test_a_server_samples_the_next_iteration_with_the_weights_from_before_the_update_that_it_gets_over_the_network(
    folder: str, served: Serving
):
    prompts, policy = SERVED[FAMILY].prompts(), SERVED[FAMILY].policy(folder).eval()
    engine = Ahead(engine_of(served, "network"))
    engine.sync(policy)
    engine.foresee(prompts[1:], 4, SAMPLING, seed=2)
    engine.generate(prompts[:1], 4, SAMPLING, seed=1)
    before = SERVED[FAMILY].policy(folder).eval()
    updated(policy)  # while the server answers
    engine.sync(policy)
    ahead = engine.generate(prompts[1:], 4, SAMPLING, seed=2)
    assert {row.staleness for group in ahead for row in group.rollouts} == {1}
    assert agreement.gap(before, ahead, 1.0) <= TOLERANCE[FAMILY] < agreement.gap(policy, ahead, 1.0)


def test_a_server_that_another_run_writes_to_and_one_that_is_killed_are_named(folder: str, served: Serving):
    prompts, policy = SERVED[FAMILY].prompts(), SERVED[FAMILY].policy(folder).eval()
    engine, other = engine_of(served), engine_of(served)
    engine.sync(policy)
    other.sync(policy)
    with pytest.raises(ServerFailed, match="another run writes to it"):
        engine.generate(prompts, 2, SAMPLING, seed=1)
    waits = other.begin(prompts, 16, Sampling(max_actions=500), seed=1)
    time.sleep(0.5)
    os.killpg(served.process.pid, signal.SIGKILL)
    with pytest.raises(ServerFailed, match=r"it is gone .*start it again"):
        waits()
