"""Chooses the prompts that a run's page shows: the most improved, the worst and some at random."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from kairos.evaluation.predictions import Prediction, read_file

IMPROVED, WORST, RANDOM = "most improved", "worst", "at random"


def chosen(before: Sequence[Prediction], after: Sequence[Prediction], each: int = 2) -> dict[str, str]:
    """Up to `each` prompts of each kind: uid -> why it is shown, none twice.

    Without predictions from before training there are no improved ones, without those after it the worst are before it.
    Which are random is decided by their names, so that runs on one data set show the same.
    """
    last = {row.uid: value for row in (after or before) if (value := score(row)) is not None and lasts(row)}
    first = {row.uid: value for row in before if (value := score(row)) is not None}
    gained = {uid: value - first[uid] for uid, value in last.items() if uid in first and after}
    found: dict[str, str] = {}

    def take(uids: Sequence[str], why: str) -> None:
        new = [uid for uid in uids if uid not in found]
        found.update(dict.fromkeys(new[:each], why))

    take([uid for uid in sorted(gained, key=lambda uid: (-gained[uid], uid)) if gained[uid] > 0], IMPROVED)
    take(sorted(last, key=lambda uid: (last[uid], uid)), WORST)
    take(sorted(last, key=lambda uid: hashlib.sha256(uid.encode(errors="replace")).digest()), RANDOM)
    return found


def chosen_in(predictions: Path) -> dict[str, str]:
    """What `chosen` makes of before.jsonl and after.jsonl in a folder."""
    files = (predictions / "before.jsonl", predictions / "after.jsonl")
    before, after = (read_file(file) if file.is_file() else [] for file in files)
    return chosen(before, after)


def lasts(row: Prediction) -> bool:
    """Whether the clip has a duration that an axis can show: above 0 and below 1e9 seconds (and so not NaN)."""
    return row.duration is not None and 0 < row.duration < 1e9


def score(row: Prediction) -> float | None:
    """IoU, or 1 and 0 for a choice; None where neither is asked for."""
    return row.iou if row.iou is not None else None if row.correct is None else float(row.correct)
