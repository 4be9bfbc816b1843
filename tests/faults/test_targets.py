"""The tests of faults are not part of `make test`: they have a target of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize(("target", "named"), [("test", "--ignore=tests/faults"), ("faults", " tests/faults ")])
def test_each_target_runs_its_own_tests(target: str, named: str, repository: Path):
    shown = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", target, "ARGS=-x", "VENV=absent"],
        cwd=repository, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (command,) = (line for line in shown.stdout.splitlines() if "-m pytest" in line)
    assert named in command and command.endswith("-x")
