"""What tests of faults share: scripts run in the process of the test, and processes, from an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from helpers.scripting import script  # noqa: F401 - a fixture


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; whatever processes a test leaves behind are killed."""
    before = set(psutil.Process().children(recursive=True))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for left in set(psutil.Process().children(recursive=True)) - before:
        left.kill()
