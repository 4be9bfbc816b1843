"""Runs of these tests go to a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.scripting import script  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test: `runs/` appears in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
