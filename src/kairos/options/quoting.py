"""Hydra's quotes around a text."""

from __future__ import annotations


def literal(key: str, value: str) -> str:
    """The override that gives `key` exactly this text.

    >>> literal("run", "runs/a=1,b=2")
    "run='runs/a=1,b=2'"
    """
    return f"{key}={quoted(value)}"


def quoted(word: str) -> str:
    """A text that Hydra's grammar takes literally.

    >>> quoted("runs/a=1,b=2")
    "'runs/a=1,b=2'"
    """
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
