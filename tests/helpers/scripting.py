"""Runs a command in this process, from an empty folder."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

Script = Callable[..., int]
"""`script("train", *arguments)` runs it from an empty folder and gives its exit code."""


def load(name: str) -> ModuleType:
    """The module of a command, imported anew: it notes when its process began."""
    sys.modules.pop(f"kairos.commands.{name}", None)
    return importlib.import_module(f"kairos.commands.{name}")


@pytest.fixture
def script(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """`script("train", *arguments)` gives its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [str(repository / "scripts" / f"{name}.py"), *arguments])
        GlobalHydra.instance().clear()
        try:
            load(name).main()
        except SystemExit as stopped:
            return stopped.code if isinstance(stopped.code, int) else int(bool(stopped.code))
        return 0

    root = logging.getLogger()
    before = root.level, [*root.handlers]
    yield run
    root.setLevel(before[0])
    root.handlers[:] = before[1]  # Hydra's write to the output of this test, which is closed after it
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
