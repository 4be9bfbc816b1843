"""Says where a file holds another number of rows than its published split, and refuses another split's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kairos.data.readers.fields import AnnotationError


def check_split(split: str | None, published: Mapping[str, int]) -> None:
    """ValueError for a split that the reader does not know; None is not checked."""
    if split is not None and split not in published:
        known = ", ".join(f"{name} ({rows:,} rows)" for name, rows in published.items()) or "none"
        raise ValueError(f"split must be null (no count is checked) or one of {known}, got {split!r}")


def compared_count(file: Path, split: str | None, found: int, published: Mapping[str, int]) -> str | None:
    """What to say of the number of rows of a file; None if it is the published one, or the split is null.

    AnnotationError if it is exactly that of another split.

    >>> compared_count(Path("test.json"), "test", 90, {"train": 200, "test": 100})
    'test.json: 90 rows, but the published test split has 100: scores of a part of it cannot be compared with others'
    """
    if split is None or found == published[split]:
        return None
    others = [name for name, rows in published.items() if rows == found]
    if others:
        raise AnnotationError(
            f"{file}: {found:,} rows are those of the split {' or '.join(others)}, not of {split} "
            f"({published[split]:,}); name the right file, or set split={others[0]}"
        )
    return (
        f"{file}: {found:,} rows, but the published {split} split has {published[split]:,}: scores of a part of it "
        "cannot be compared with others"
    )
