"""Packs selected files of runs into archives of bounded size, to move them to another machine."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

LARGEST = 12 * 2**20
"""Approximate bytes of a pack."""


def pack(folders: Sequence[Path], patterns: Sequence[str], output: Path) -> list[Path]:
    """Write runs-<n>.tar.gz with those files of each folder that match a pattern; older packs are removed.

    A folder is never split. Archives hold the paths as given, so these should be relative.
    """
    parts: list[list[Path]] = [[]]
    size = 0
    for folder in folders:
        files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
        here = sum(len(zlib.compress(path.read_bytes(), 1)) for path in files)
        if parts[-1] and size + here > LARGEST:
            parts.append([])
            size = 0
        parts[-1] += files
        size += here
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("runs-*.tar.gz"):
        old.unlink()
    return [archive(files, output / f"runs-{number}.tar.gz") for number, files in enumerate(parts, 1) if files]


def archive(files: Sequence[Path], path: Path) -> Path:
    """Write these files into one .tar.gz under their paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for file in files:
            tar.add(file)
    return path


def unpack(source: Path, into: Path) -> int:
    """Extract all packs below `into`, except files that exist there; returns the number of extracted files.

    ValueError for a path that leads out of `into`.
    """
    count = 0
    for path in sorted(source.glob("runs-*.tar.gz")):
        with tarfile.open(path) as tar:
            for member in tar:
                place = into / member.name
                if not place.resolve().is_relative_to(into.resolve()):
                    raise ValueError(f"{path} holds {member.name}, which does not lie below {into}: no pack of ours")
                content = tar.extractfile(member) if member.isfile() and not place.exists() else None
                if content is not None:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(content.read())
                    count += 1
    return count
