"""All kinds of faults, in the order in which they are tried."""

from __future__ import annotations

from .containers import Containers
from .damage import DAMAGES
from .full_disks import FullDisk
from .hostile_rows import Hostile
from .kills import Kills
from .run_files import PATTERNS, RunFile
from .sharded import SHARDS, DamagedShards, KilledShards, OtherWorld, PickledShards, Poisoned
from .signals import Signals
from .stored_files import FILES, StoredFile
from .trial import Kind
from .two_at_once import TwoAtOnce


def kinds() -> list[Kind]:
    return [
        Kills("moment", 1, 24), Kills("operation", 1, 14), Kills("write", 1, 8),
        Kills("moment", 2, 8), Kills("operation", 2, 4), Kills("write", 2, 3),
        *(RunFile(file, damage) for file in PATTERNS for damage in DAMAGES),
        *(StoredFile(file, damage) for file in FILES for damage in DAMAGES),
        KilledShards(20), *(DamagedShards(file, damage, 10) for file in SHARDS for damage in DAMAGES),
        PickledShards(4), OtherWorld(10), Poisoned(10),
        FullDisk("a small disk", 10), FullDisk("files that may not grow", 10),
        TwoAtOnce(10), Signals(1, 14), Signals(2, 6),
        Hostile("rows", 40), Hostile("files", 40), Containers(),
    ]  # fmt: skip
