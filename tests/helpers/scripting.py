"""Loads a script as a module, to run it in this process."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

Script = Callable[..., int]
"""`script("train", *arguments)` runs it from an empty folder and gives its exit code."""


def load(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", repository / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Hydra looks the script's module up
    spec.loader.exec_module(module)
    return module
