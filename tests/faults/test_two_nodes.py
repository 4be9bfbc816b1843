"""Two torchruns on loopback stand for two hosts: they train as one process, and stop, or fail, together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.processes import environment
from helpers.running import TOY, curve, fit, rows

pytestmark = pytest.mark.usefixtures("workplace")

SMALL = [
    *TOY, "callbacks.validation=null", "callbacks.export=null", "callbacks.checkpoint.every=100000", "strategy=ddp",
    "trainer.devices=1", "trainer.num_nodes=2", "prompts=1", "iterations=100000",
]  # fmt: skip

SLEEPS = '''
"""A reward that sleeps on the second host from its fourth iteration on."""

import os
import time

from kairos.credit.rewards.grounding import IoU


class Sleeps(IoU):
    calls = 0

    def __call__(self, group):
        Sleeps.calls += 1
        if os.environ["RANK"] == "1" and Sleeps.calls > 3:
            time.sleep(300)
        return super().__call__(group)
'''


def begin(repository: Path, *options: str) -> list[subprocess.Popen[str]]:
    """The command of docs/many-gpus.md on each of two hosts, whose words go to 0.txt and 1.txt."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (Path.cwd() / "mine").mkdir(exist_ok=True)
    Path("mine/sleeps.py").write_text(SLEEPS)
    hosts = []
    for number in range(2):
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={number}",
            "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}",
            str(repository / "scripts" / "train.py"), *SMALL, *options,
        ]  # fmt: skip
        with Path(f"{number}.txt").open("w") as said:
            path = environment(repository, Path("mine").resolve())
            hosts.append(subprocess.Popen(command, env=path, stdout=said, stderr=subprocess.STDOUT, text=True))
    return hosts


def said() -> str:
    return "".join(Path(f"{number}.txt").read_text() for number in range(2))


def test_a_schedulers_sigterm_to_one_host_ends_both_after_the_same_iteration(repository: Path):
    """And until then two hosts have trained what one process trains on the prompts of both."""
    hosts = begin(repository, "name=a")
    metrics, deadline = Path("runs/a/metrics.jsonl"), time.monotonic() + 240
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 3):
        assert time.monotonic() < deadline and all(host.poll() is None for host in hosts), said()
        time.sleep(0.05)
    hosts[1].send_signal(signal.SIGTERM)
    assert all(host.wait(120) for host in hosts), "no host ends as if it were done"
    done = len(rows(metrics))
    assert Path(f"runs/a/checkpoints/iteration-{done:06d}.ckpt").exists(), said()
    assert f"the run ends after iteration {done} of 100000" in said()
    alone = fit(*SMALL[:-5], "strategy=single", "prompts=2", "iterations=3", "name=alone").folder
    assert curve(Path("runs/a"), "reward/total")[:3] == pytest.approx(curve(alone, "reward/total"))


def test_a_host_that_does_not_answer_is_named_with_its_phase(repository: Path):
    hosts = begin(repository, "name=b", "timeout_minutes=0.1", "reward.terms.iou.term._target_=sleeps.Sleeps")
    assert hosts[0].wait(200), "the waiting host fails"
    words = Path("0.txt").read_text()
    assert "where the ranks stood:" in words and "credit, 3 iterations done, since " in words, words
