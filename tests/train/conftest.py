"""Runs of these tests go to a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test: `runs/` appears in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
