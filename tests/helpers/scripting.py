"""Loads a script as a module, and runs it in this process, from an empty folder."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

Script = Callable[..., int]
"""`script("train", *arguments)` runs it from an empty folder and gives its exit code."""


def load(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", repository / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Hydra looks the script's module up
    spec.loader.exec_module(module)
    return module


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
