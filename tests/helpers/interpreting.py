"""Runs tests of Triton kernels: on a GPU where there is one, else interpreted in a process of
their own, because Triton reads the variable that says so when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
needs_kernels = pytest.mark.skipif(
    not (torch.cuda.is_available() or INTERPRETED), reason="no GPU: run by the test of the interpreter instead"
)


def interpret(file: str) -> None:
    """Run all tests of a file with interpreted kernels; skip where a GPU runs the kernels, or Triton is missing."""
    if find_spec("triton") is None:
        pytest.skip("Triton is not installed (it comes with torch for CUDA)")
    if torch.cuda.is_available() or INTERPRETED:
        pytest.skip("the kernels themselves run here")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", file]
    done = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout, done.stdout
