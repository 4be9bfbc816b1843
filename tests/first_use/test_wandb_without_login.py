"""`logger=wandb` on a machine where nobody is logged in writes a whole offline run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_run_without_a_login_is_written_offline(repository: Path, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    done = subprocess.run(
        [
            sys.executable, str(repository / "scripts" / "train.py"), "policy=toy", "data=toy", "template=answer",
            "iterations=2", "prompts=2", "logger=wandb", "name=a", "evaluate=after",
            "callbacks.evaluation.count=4", "optimizer.learning_rate=0.25",
        ],
        cwd=tmp_path, env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (written,) = (tmp_path / "runs/a/wandb").glob("offline-run-*/run-*.wandb")
    data = written.read_bytes()
    for expected in (b"learning_rate", b"0.25", b"reward/total", b"summary/miou_after", b"summary/iterations"):
        assert expected in data, f"{expected!r} is not in {written}"
