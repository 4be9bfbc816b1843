"""All kinds of faults, in the order in which they are tried."""

from __future__ import annotations

from .kills import Kills
from .trial import Kind


def kinds() -> list[Kind]:
    return [
        Kills("moment", 1, 24), Kills("operation", 1, 15), Kills("write", 1, 10),
        Kills("moment", 2, 9), Kills("operation", 2, 4), Kills("write", 2, 3),
    ]  # fmt: skip
