"""What a newcomer types first: a script of the wrong Python, `kairos` alone, `--help`, and a run's folder mistyped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def said(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", ["train", "report"])
def test_a_python_without_our_packages_says_in_one_line_which_to_use(repository: Path, tmp_path: Path, script: str):
    """-S and -E: without the packages of this environment, as another Python would be."""
    done = said(["-S", "-E", str(repository / "scripts" / f"{script}.py"), "--help"], tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and not done.stdout
    assert line.startswith(f"error: {sys.executable} has no package hydra")
    assert "/bin/activate`" in line and f"bin/python {repository / 'scripts' / script}.py" in line


def test_kairos_alone_lists_the_commands_and_a_misspelt_one_is_guessed(tmp_path: Path):
    listed, guessed = said(["-m", "kairos"], tmp_path), said(["-m", "kairos", "trian"], tmp_path)
    assert listed.returncode == 0 and "\n  rollouts        Show what a run's policy was asked" in listed.stdout
    assert guessed.returncode == 1 and guessed.stderr == "error: there is no command trian; did you mean train?\n"


def test_help_needs_nothing_heavy(repository: Path, tmp_path: Path):
    """Below 2 seconds, as results/help.json says, because neither torch nor Hydra is imported."""
    done = said(["-X", "importtime", str(repository / "scripts" / "rollouts.py"), "--help"], tmp_path)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "yaml" in imported
    assert not imported & {"torch", "hydra", "lightning", "numpy", "omegaconf", "transformers"}
    script = f"python {repository / 'scripts' / 'rollouts.py'}"
    for part in (f"usage: {script} [runs/<name>] ", "\n  max_text=null ", f"\n  {script} runs/mine iteration=last\n"):
        assert part in done.stdout


def test_a_mistyped_folder_is_answered_with_the_right_one(repository: Path, tmp_path: Path):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    done = said([str(repository / "scripts" / "rollouts.py"), "runs/mien", "iteration=last"], tmp_path)
    assert done.returncode == 1 and done.stderr == "error: no run folder runs/mien; did you mean runs/mine?\n"


def test_make_says_how_to_enter_the_environment(repository: Path, tmp_path: Path):
    """With an environment that is ready and whose Python does nothing."""
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    (tmp_path / "env" / ".ready").touch()
    for target in ("help", "venv", "quickstart"):
        done = subprocess.run(
            ["make", "--no-print-directory", target, f"VENV={tmp_path / 'env'}"],
            cwd=repository, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert f"source {tmp_path / 'env'}/bin/activate. Then kairos lists" in done.stdout.splitlines()[-1], target
