"""Hydra's quotes around a text."""

from __future__ import annotations


def quoted(word: str) -> str:
    """A text that Hydra's grammar takes literally.

    >>> quoted("runs/a=1,b=2")
    "'runs/a=1,b=2'"
    """
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
