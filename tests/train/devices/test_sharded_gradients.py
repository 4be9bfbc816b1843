"""Gradients under DDP, FSDP2, its offload and HSDP are those of one process, for every family and both scorers."""

from __future__ import annotations

from pathlib import Path

from helpers.processes import run, torchrun


def test_every_strategy_gives_the_gradients_of_one_process(repository: Path, workplace: Path, folder: str):
    """Ranks have other prompts, other numbers of rows and other lengths, and some run a frozen tower alone."""
    script = str(repository / "tests" / "helpers" / "sharded_gradients.py")
    launch = [part.replace("=2", "=4") for part in torchrun()[:-1]]
    done = run([*launch, script, folder], workplace, repository, repository / "tests")
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("all gradients are equal") == 4
