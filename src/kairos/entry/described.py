"""What the commands say of themselves in their docstrings, read without importing them."""

from __future__ import annotations

import ast
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "commands"


def commands() -> list[str]:
    """The names of all commands."""
    return sorted(file.stem for file in _FOLDER.glob("*.py") if not file.stem.startswith("_"))


def docstring(command: str) -> str:
    """The docstring of a command's module."""
    return ast.get_docstring(ast.parse((_FOLDER / f"{command}.py").read_text(encoding="utf-8"))) or ""


def summary(command: str) -> str:
    """The first line of its docstring."""
    return docstring(command).partition("\n")[0]
