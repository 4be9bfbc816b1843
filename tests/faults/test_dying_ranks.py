"""A rank that is killed or stopped: the others name it and what it did, end in time, and torchrun starts them again."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from helpers.processes import run, start, torchrun
from helpers.running import TOY, assert_same_run

pytestmark = pytest.mark.usefixtures("workplace")

SMALL = [
    *TOY, "callbacks.validation=null", "callbacks.export=null", "name=a", "prompts=2", "strategy=ddp",
    "trainer.devices=2", "callbacks.checkpoint.every=2",
]  # fmt: skip

ENDS = '''
"""A reward that kills the second rank once, in the middle of its sixth iteration."""

import os
import signal
from pathlib import Path

from kairos.credit.rewards.grounding import IoU


class Ends(IoU):
    calls = 0

    def __call__(self, group):
        Ends.calls += 1
        if os.environ["LOCAL_RANK"] == "1" and Ends.calls == 11 and Path("marker").exists():
            Path("marker").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(group)
'''


@pytest.mark.parametrize(
    ("number", "state"), [(signal.SIGKILL, "its process is gone"), (signal.SIGSTOP, "its process is stopped")]
)
def test_the_survivor_says_which_rank_was_lost_in_what_and_since_when(
    workplace: Path, repository: Path, number: int, state: str
):
    command = ["SCRIPT", *SMALL, "iterations=100000", "callbacks.watch_ranks.minutes=0.1"]
    process = start(command, workplace, repository)
    deadline = time.monotonic() + 300
    while not list(Path("runs/a/checkpoints").glob("*.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline, Path("said.txt").read_text()
        time.sleep(0.05)
    (other,) = (c for c in psutil.Process(process.pid).children() if "train" in " ".join(c.cmdline()))
    other.send_signal(number)
    assert process.wait(60) == 76, Path("said.txt").read_text()
    said = Path("said.txt").read_text()
    assert "error: rank 0 waits for rank 1 in vain; where the ranks stood:" in said
    assert f"rank 1 (process {other.pid} on " in said and state in said and " iterations done, since " in said
    assert not psutil.wait_procs([other], timeout=10)[1], "a stopped rank is ended too"


def test_torchrun_starts_a_run_again_which_then_is_as_if_no_rank_had_died(
    workplace: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")  # or the ranks find the addresses of the dead ones
    mine = workplace / "mine"
    mine.mkdir()
    (mine / "ends.py").write_text(ENDS)
    options = [*SMALL, "iterations=8", "reward.terms.iou.term._target_=ends.Ends"]
    whole = run([*torchrun(), *options, "name=whole"], workplace, repository, mine)
    assert whole.returncode == 0, whole.stderr[-3000:]
    Path("marker").touch()
    launch = [*torchrun()[:-1], "--max-restarts=1", "SCRIPT"]
    done: subprocess.CompletedProcess[str] = run([*launch, *options, "overwrite=true"], workplace, repository, mine)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not Path("marker").exists() and "continuing runs/a from iteration-00000" in done.stdout
    assert_same_run(Path("runs/whole"), Path("runs/a"))
    assert not Path("runs/a/ranks").exists()
