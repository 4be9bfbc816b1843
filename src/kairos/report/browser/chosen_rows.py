"""Chooses the rollouts of runs that a page can hold: whole iterations, evenly spaced, the last among them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kairos.report.rollouts.lines import iteration_of

MOST = 10_000
"""Rollouts of a page."""
MOST_BYTES = 20_000_000
"""Of the rollouts' lines."""
_SLACK = 1.2
"""Iterations are of unequal sizes: so much more is let through before groups are left out."""

Fields = Mapping[str, object]


@dataclass(frozen=True)
class Chosen:
    """The groups of one run that a page shows."""

    groups: tuple[tuple[Fields, ...], ...]
    """Rows of each group, as rollouts.jsonl has them, in its order."""
    iterations: int
    """Number of iterations they are of."""
    of_rollouts: int
    """Rollouts that the file has."""
    of_iterations: int
    """Iterations that the file has."""
    broken: int = 0
    """Lines that are no rollout: an interrupted write, or damage."""


def choose(files: Sequence[Path], most: int = MOST, most_bytes: int = MOST_BYTES) -> list[Chosen]:
    """What a page shows of each file of rollouts; an absent file gives none. Files share their iterations."""
    counts = [_count(file) for file in files]
    rows, sizes = Counter[int](), Counter[int]()
    for found in counts:
        rows.update({iteration: count for iteration, (count, _) in found.items()})
        sizes.update({iteration: size for iteration, (_, size) in found.items()})
    share = min(1.0, most / max(1, rows.total()), most_bytes / max(1, sizes.total()))
    wanted = spaced(sorted(rows), share)
    rows_left, bytes_left = int(_SLACK * most), int(_SLACK * most_bytes)
    chosen: list[Chosen] = []
    for file, found in zip(files, counts, strict=True):
        read, size = _read(file, wanted, found, rows_left, bytes_left)
        chosen.append(read)
        rows_left, bytes_left = rows_left - sum(map(len, read.groups)), bytes_left - size
    return chosen


def spaced(iterations: Sequence[int], share: float) -> set[int]:
    """About this share of them, at least one, evenly spaced, the first and the last among them.

    >>> sorted(spaced(range(1, 101), 0.04))
    [1, 34, 67, 100]
    """
    count = max(1, int(len(iterations) * share))
    if count >= len(iterations):
        return set(iterations)
    if count == 1:
        return {iterations[-1]}
    return {iterations[round(at * (len(iterations) - 1) / (count - 1))] for at in range(count)}


def _count(file: Path) -> dict[int, tuple[int, int]]:
    """Rows and bytes of each iteration of a file."""
    found: dict[int, tuple[int, int]] = {}
    for line in _lines(file):
        if (iteration := iteration_of(line)) is not None:
            count, size = found.get(iteration, (0, 0))
            found[iteration] = count + 1, size + len(line)
    return found


def _read(
    file: Path, wanted: set[int], counts: Mapping[int, tuple[int, int]], most: int, most_bytes: int
) -> tuple[Chosen, int]:
    """The groups of the wanted iterations, until there are too many of them, and their bytes."""
    groups: list[tuple[Fields, ...]] = []
    shown, rows, size, broken = set[int](), 0, 0, 0
    group: list[Fields] = []
    for line in _lines(file):
        iteration = iteration_of(line)
        if iteration is not None and iteration not in wanted:
            continue
        row = _row(line)
        if row is None or iteration is None:
            broken += bool(line.strip())
            continue
        if group and _begins(row, group[-1]):
            groups.append(tuple(group))
            group = []
        if not group and (rows >= most or size >= most_bytes):
            break
        group.append(row)
        rows += 1
        shown.add(iteration)
        size += len(line)
    if group:
        groups.append(tuple(group))
    found = Chosen(tuple(groups), len(shown), sum(count for count, _ in counts.values()), len(counts), broken)
    return found, size


def _begins(row: Fields, last: Fields) -> bool:
    """Whether a row is the first of another group than the row before it."""
    if (row.get("iteration"), row.get("uid")) != (last.get("iteration"), last.get("uid")):
        return True
    here, before = row.get("row"), last.get("row")
    return isinstance(here, int) and isinstance(before, int) and here <= before


def _lines(file: Path) -> Iterator[bytes]:
    if file.is_file():
        with file.open("rb") as opened:
            yield from opened


def _row(line: bytes) -> Fields | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
