"""Runs scripts/train.py in processes of their own, on one rank or on two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(command: list[str], folder: Path, repository: Path, *mine: Path) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder`; `SCRIPT` stands for scripts/train.py, `mine` lists more folders for Python's path."""
    script = str(repository / "scripts" / "train.py")
    command = [sys.executable, *(script if part == "SCRIPT" else part for part in command)]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(repository, *mine),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def start(command: list[str], folder: Path, repository: Path, *mine: Path) -> subprocess.Popen[str]:
    """As `run`, but it does not wait; what the process says goes to `said.txt` in `folder`."""
    script = str(repository / "scripts" / "train.py")
    command = [sys.executable, *(script if part == "SCRIPT" else part for part in command)]
    with (folder / "said.txt").open("w") as said:
        return subprocess.Popen(
            command, cwd=folder, env=environment(repository, *mine), stdout=said, stderr=subprocess.STDOUT, text=True
        )


def environment(repository: Path, *mine: Path) -> dict[str, str]:
    """The variables of a process of its own: Python's path, one thread, and no rank of whoever runs the tests."""
    places = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    inherited = {name: value for name, value in os.environ.items() if name not in places}
    path = os.pathsep.join(map(str, [repository / "src", *mine]))
    return inherited | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def torchrun() -> list[str]:
    return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "SCRIPT"]
