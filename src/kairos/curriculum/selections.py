"""Selection files: JSON with the uids of the prompts that take part, and a hash of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from kairos.core.files import write_whole

_REMEDY = "Restore it from a copy, or make it again with scripts/select_prompts.py"


@dataclass(frozen=True)
class Selection:
    """Uids of the prompts that take part, in order. A repeated uid is drawn repeatedly (see `unique_uids`)."""

    uids: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "uids", tuple(self.uids))
        if not self.uids:
            raise ValueError("a selection needs at least one uid")

    @property
    def hash(self) -> str:
        """SHA-256 of the uids in order, as hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.uids).encode()).hexdigest()

    def indices(self, uids: Sequence[str]) -> list[int]:
        """Indices of the selected prompts in a data set of these `uids`; ValueError names missing ones."""
        position = {uid: index for index, uid in enumerate(uids)}
        unknown = [uid for uid in self.uids if uid not in position]
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(self.uids)} selected prompts are not in the data, first "
                f"{', '.join(unknown[:5])}: use the data that the selection was made from"
            )
        return [position[uid] for uid in self.uids]


def unique_uids(uids: Sequence[str], known: Collection[str]) -> list[str]:
    """Renames repeated uids: the k-th occurrence becomes `uid#k`, or the next such name that is not in `known`.

    A prompt's rollouts are a function of its uid, so a prompt drawn twice under one uid would get the same rollouts.
    """
    taken, seen = set(known), Counter[str]()
    names = []
    for uid in uids:
        seen[uid] += 1
        name = uid
        while seen[uid] > 1 and (name := f"{uid}#{seen[uid]}") in taken:
            seen[uid] += 1
        taken.add(name)
        names.append(name)
    return names


def write_selection(path: str | Path, selection: Selection) -> None:
    """Write atomically: a reader finds the old file or the new one, never half of one."""
    write_whole(Path(path), json.dumps({"hash": selection.hash, "uids": selection.uids}, indent=1) + "\n")


def read_selection(path: str | Path) -> Selection:
    """Read a selection file; ValueError if it is none, or its uids were changed after it was written."""
    try:
        content = json.loads(Path(path).read_bytes())
        selection, expected = Selection(tuple(content["uids"])), content["hash"]
    except FileNotFoundError as error:
        raise ValueError(f"{path}: there is no such selection; scripts/select_prompts.py writes one") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no selection file: JSON in UTF-8 with `uids` and `hash` ({error}). {_REMEDY}"
        ) from error
    if selection.hash != expected:
        raise ValueError(
            f"{path} was changed after it was written: its uids have hash {selection.hash}, not {expected}. {_REMEDY}"
        )
    return selection
