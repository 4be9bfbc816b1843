"""The rows of an evaluation while it is answered: a file for each process, with which a killed evaluation goes on.

A line is one batch, `{"places": [...], "rows": [...]}`: where its prompts stand in the split, and their predictions.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kairos.core.files import json_line, naming, replacing, sync
from kairos.evaluation.predictions import Prediction, from_json

_ASKED, _WEIGHTS = "asked.json", "weights.sha256"


@dataclass(frozen=True)
class Shard:
    """One of `count` equal parts of an evaluation, written `number/count`, from 1/count on.

    >>> str(Shard.read("2/4")), list(Shard(2, 4).places(total=10))
    ('2/4', [1, 5, 9])
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"shard must be one of 1/{self.count} to {self.count}/{self.count}, got {self}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def read(cls, text: str | None) -> Shard:
        """ValueError for anything but `k/n`; None is 1/1."""
        if text is None:
            return cls()
        number, slash, count = str(text).partition("/")
        if not (slash and number.isascii() and number.isdigit() and count.isascii() and count.isdigit()):
            raise ValueError(f"shard must be written k/n, such as 1/4, got {text!r}")
        return cls(int(number), int(count))

    def of_rank(self, rank: int, world: int) -> Shard:
        """The part of one of `world` processes that share this shard."""
        return Shard((self.number - 1) * world + rank + 1, self.count * world)

    def places(self, total: int) -> range:
        """Which of `total` rows belong to it."""
        return range(self.number - 1, total, self.count)


@dataclass(frozen=True)
class AnsweredRows:
    """The folder of these files. Shards of several machines each have their own; copied together they are one."""

    folder: Path

    def begin(self, asked: Mapping[str, object]) -> None:
        """Make the folder and note what is asked; ValueError, with the difference, if something else was asked here."""
        path = self.folder / _ASKED
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            now = json.loads(json.dumps(asked))
            changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
            if changed:
                listed = "; ".join(f"{key}: {before.get(key)!r} then, {now.get(key)!r} now" for key in changed)
                raise ValueError(
                    f"{self.folder} holds an unfinished evaluation of something else ({listed}): finish it as it was "
                    "begun, name another output=, or say overwrite=true to begin anew"
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(asked, indent=1).encode() + b"\n")

    def of_weights(self, found: str) -> None:
        """Note the hash of the weights that answer; ValueError if others have answered before."""
        path = self.folder / _WEIGHTS
        before = self.weights()
        if before is not None and before != found:
            raise ValueError(
                f"{self.folder} holds answers of other weights ({before[:10]} then, {found[:10]} now): name another "
                "output=, or say overwrite=true to begin anew"
            )
        if before is None:
            with replacing(path) as file:
                file.write(found.encode())

    def weights(self) -> str | None:
        """The hash of the weights that answered; None before anybody has."""
        path = self.folder / _WEIGHTS
        return path.read_text() if path.is_file() else None

    def places(self) -> set[int]:
        """Where the prompts stand that have been answered."""
        return {place for places, _, _ in self._batches() for place in places}

    def predictions(self) -> list[Prediction]:
        """What has been answered, one prediction a prompt, by their places in the split."""
        found: dict[str, tuple[int, Prediction]] = {}
        for places, rows, where in self._batches():
            for place, row in zip(sorted(places), rows, strict=True):
                prediction = from_json(row, where)
                found[prediction.uid] = (place, prediction)
        return [row for _, row in sorted(found.values(), key=lambda pair: pair[0])]

    def append(self, shard: Shard, places: Sequence[int], rows: Sequence[Prediction]) -> None:
        """Add a batch to the file of a shard, durably; what a killed process left of its last line is cut off.

        NotWritten where there is no space.
        """
        path = self.folder / f"{shard.number}of{shard.count}.jsonl"
        line = json_line({"places": list(places), "rows": [asdict(row) for row in rows]})
        with naming(path), path.open("ab+") as file:
            _cut_torn_line(file.fileno())
            file.write(line)
            sync(file)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _batches(self) -> Iterator[tuple[list[int], list[object], str]]:
        """The places and rows of each batch, as they are written, and where they stand."""
        for path in sorted(self.folder.glob("*of*.jsonl")):
            for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
                if line.endswith(b"\n"):  # a last line without its end is of a process that was killed, or still writes
                    yield _batch(line, f"{path}:{number}")


def _batch(line: bytes, where: str) -> tuple[list[int], list[object], str]:
    try:
        batch = json.loads(line)
        places, rows = [int(place) for place in batch["places"]], list(batch["rows"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{where} is no batch of an evaluation ({error!r}): remove the line, or the file") from error
    return places, rows, where


def _cut_torn_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        whole = os.pread(descriptor, size, 0).rpartition(b"\n")
        os.ftruncate(descriptor, len(whole[0]) + len(whole[1]))
