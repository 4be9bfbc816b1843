"""SIGTERM and SIGINT: the iteration is finished and saved, on all ranks; a second signal, or time, ends it at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from helpers.processes import environment, start, torchrun
from helpers.running import TOY, assert_same_run
from torch import Tensor

from kairos.compose import train
from kairos.core.stop_signals import Stopped, StopSignals
from kairos.core.types import RolloutGroup
from kairos.credit.rewards.grounding import IoU

pytestmark = pytest.mark.usefixtures("workplace")

SMALL = [
    *TOY, "callbacks.validation=null", "callbacks.export=null", "callbacks.checkpoint.every=100000", "name=a",
    "prompts=2",
]  # fmt: skip
TWO = ["strategy=ddp", "trainer.devices=2", "prompts=1"]
TERM, INT = signal.SIGTERM, signal.SIGINT

HANGS = '''
"""A reward that never returns from its tenth call on."""

import ctypes


def hang():
    """In C code that no signal interrupts."""
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    open("hangs", "w").close()
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


class Hangs:
    calls = 0

    def __call__(self, group):
        import torch

        Hangs.calls += 1
        if Hangs.calls >= 10:
            hang()
        return torch.zeros(len(group))
'''


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, said()
        time.sleep(0.02)


def said() -> str:
    return Path("said.txt").read_text()


def iterations(folder: str = "runs/a") -> int:
    path = Path(folder, "metrics.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def hanging(workplace: Path, repository: Path, *overrides: str) -> subprocess.Popen[str]:
    """A run of one process that hangs inside its fifth iteration."""
    mine = workplace / "mine"
    mine.mkdir()
    (mine / "hangs.py").write_text(HANGS)
    reward = "reward.terms.iou.term={_target_: hangs.Hangs}"
    process = start(["SCRIPT", *SMALL, "iterations=9", reward, *overrides], workplace, repository, mine)
    until(Path("hangs").exists, process)
    return process


class Signals(IoU):
    """Sends a signal to its own process in the middle of the third iteration of two prompts."""

    calls = 0
    number = 0

    def __call__(self, group: RolloutGroup) -> Tensor:
        type(self).calls += 1
        if self.calls == 5 and self.number:
            os.kill(os.getpid(), self.number)
        return super().__call__(group)


@pytest.mark.parametrize(("number", "code"), [(TERM, 143), (INT, 130)])
def test_a_signal_saves_the_iteration_and_the_same_command_goes_on(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Bit for bit as if there had been no signal."""
    command = [*SMALL, "iterations=6", f"reward.terms.iou.term._target_={__name__}.Signals"]
    monkeypatch.setattr(Signals, "calls", 0)
    monkeypatch.setattr(Signals, "number", number)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught:
        try:
            signals = StopSignals(600).__enter__()
            train(command)
        except Stopped as stopped:
            raise SystemExit(stopped.code) from stopped
        finally:
            signals.__exit__(None, None, None)
    assert caught.value.code == code and signal.getsignal(number) == before
    assert iterations() == 3 and Path("runs/a/checkpoints/iteration-000003.ckpt").exists()
    assert "the run ends after iteration 3 of 6; repeat the command to go on" in capsys.readouterr().err
    assert not Path("runs/a/summary.json").exists() and not Path("runs/a/.lock").exists()
    train(command)
    monkeypatch.setattr(Signals, "number", 0)
    train([*command, "name=whole"])
    assert_same_run(Path("runs/a"), Path("runs/whole"))


@pytest.mark.parametrize("launcher", ["torchrun", "lightning"])
def test_a_signal_to_one_rank_ends_all_ranks_after_the_same_iteration(workplace: Path, repository: Path, launcher: str):
    first = torchrun() if launcher == "torchrun" else ["SCRIPT"]
    process = start([*first, *SMALL, *TWO, "iterations=100000"], workplace, repository)
    until(lambda: iterations() >= 3, process)
    family = psutil.Process(process.pid).children()
    scripts = [child for child in family if re.search(r"\btrain(\.py)? ", " ".join(child.cmdline()))]
    scripts[-1].send_signal(TERM)
    code = process.wait(90)
    done = iterations()
    assert Path(f"runs/a/checkpoints/iteration-{done:06d}.ckpt").exists(), said()
    assert f"the run ends after iteration {done} of 100000" in said() and "ended at once" not in said()
    assert not psutil.wait_procs(family, timeout=20)[1], "no rank is left"
    if launcher == "lightning":
        assert code == 143, "of the first rank; torchrun has codes of its own"
    else:
        codes = re.findall(r"exitcode  : (-?\d+)", said())  # torchrun itself ends a rank that is a moment slower
        assert len(codes) == 2 and "143" in codes and set(codes) <= {"143", "-15"}, said()


def test_a_second_signal_ends_a_run_that_hangs_at_once(workplace: Path, repository: Path):
    process = hanging(workplace, repository)
    process.send_signal(TERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(TERM)
    assert process.wait(5) == 143 and "SIGTERM, and a second signal: ended at once" in said()


def test_a_process_that_hangs_ends_in_the_time_that_a_signal_leaves_it(workplace: Path, repository: Path):
    (workplace / "hangs.py").write_text(HANGS)
    code = "import hangs; from kairos.core.stop_signals import StopSignals\nwith StopSignals(1):\n    hangs.hang()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment(repository, workplace), stderr=subprocess.PIPE, text=True
    )
    until(Path("hangs").exists, process)
    process.send_signal(INT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "SIGINT, and 1 s later not ended: ended at once" in err


EVALUATES = '''
"""A metric that takes its time."""

import time
from pathlib import Path

from kairos.evaluation.metrics import Share


class Slow(Share):
    def value(self, prediction):
        Path("evaluates").touch()
        time.sleep(60)
'''


def test_a_signal_during_an_evaluation_ends_it_where_it_stands(workplace: Path, repository: Path):
    """Whole files or none: what was evaluated is evaluated again."""
    (workplace / "mine").mkdir()
    (workplace / "mine" / "slow.py").write_text(EVALUATES)
    slow = ["metrics.miou._target_=slow.Slow", "evaluate=both"]
    process = start(["SCRIPT", *SMALL, "iterations=3", *slow], workplace, repository, workplace / "mine")
    until(Path("evaluates").exists, process)
    process.send_signal(TERM)
    assert process.wait(20) == 143, said()
    assert iterations() == 0 and not list(Path("runs/a").rglob("*.jsonl"))


def test_a_signal_ends_a_sweep_and_what_is_left_is_said(workplace: Path, repository: Path):
    sweep = ["SCRIPT", "-m", *SMALL[:-2], "prompts=2", "name=s", "iterations=300", "seed=0,1,2"]
    process = start(sweep, workplace, repository)
    until(lambda: list(Path("runs/s").glob("*/metrics.jsonl")), process)
    process.send_signal(TERM)
    assert process.wait(60) == 143, said()
    assert "the sweep is stopped at job #0: repeat the command for what is left" in said()
    assert len(list(Path("runs/s").glob("*/checkpoints/*.ckpt"))) == 1 and Path("runs/s/report.html").exists()


@pytest.mark.parametrize("launcher", ["hydra", "torchrun", "lightning"])
def test_a_killed_launcher_leaves_no_process(workplace: Path, repository: Path, launcher: str):
    small = [*SMALL, "iterations=100000", "strategy=ddp"]
    launch = ["hydra/launcher=torchrun", "hydra.launcher.devices_per_job=2", "hydra.launcher.draw=false", "seed=0"]
    command = {
        "hydra": ["SCRIPT", "-m", *small, *launch],
        "torchrun": [*torchrun(), *small, *TWO],
        "lightning": ["SCRIPT", *small, *TWO],
    }[launcher]
    process = start(command, workplace, repository)
    until(lambda: list(Path("runs").rglob("metrics.jsonl")), process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.kill()
    assert not psutil.wait_procs(family, timeout=45)[1]


def test_a_child_that_is_forked_takes_no_signal_from_its_parent(workplace: Path, repository: Path):
    """A loader process that is terminated, or that gets the Ctrl-C of a terminal, does not end the run."""
    code = (
        "import os, signal, time\n"
        "from kairos.core.stop_signals import StopSignals\n"
        "with StopSignals(60):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        time.sleep(60)\n"
        "    time.sleep(0.5)\n"
        "    os.kill(child, signal.SIGINT)\n"
        "    time.sleep(0.5)\n"
        "    os.kill(child, signal.SIGTERM)\n"
        "    print(os.waitpid(child, 0)[1])\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(repository),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [str(int(TERM)), "True"]


def test_caching_that_is_interrupted_says_the_command_that_does_the_rest(tmp_path: Path, repository: Path) -> None:
    chosen = ["data=mini", "data.clips=40", "data.val_clips=1", "data.tasks=[choice]", "workers=1"]
    command = [sys.executable, str(repository / "scripts" / "cache_videos.py"), *chosen]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while len([*tmp_path.rglob(".cache/**/*.safetensors")]) < 3 and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(INT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    found = re.search(r"stopped; repeat the command to go on:\n  (.+)\n", said)
    assert found is not None, said
    again = subprocess.run(found[1], shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    there = re.search(r"(\d+) written, (\d+) already there", again.stdout)
    assert there is not None and int(there[2]) >= 3, again.stdout + again.stderr
