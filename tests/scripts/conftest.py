"""Scripts run in the process of the test, from an empty folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.scripting import Script, load
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig


@pytest.fixture
def script(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """`script("train", *arguments)` gives its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [str(repository / "scripts" / f"{name}.py"), *arguments])
        GlobalHydra.instance().clear()
        try:
            load(repository, name).main()
        except SystemExit as stopped:
            return stopped.code if isinstance(stopped.code, int) else int(bool(stopped.code))
        return 0

    yield run
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
