"""Data sets with a row or a file that was made to do harm: the row fails by its name, and its neighbours are used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import cast

from kairos.compose import compose, part
from kairos.core.protocols import Processor
from kairos.core.types import Failure, Prompt
from kairos.data.dataset import PromptDataset, collate
from kairos.data.mini.world import MiniWorld
from kairos.data.readers.jsonl import Jsonl
from kairos.data.templates.answer import AnswerOnly
from kairos.video.budget import PixelBudget
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore

from .damage import flip, truncate
from .jobs import call
from .trial import Outcome, Verdict, last_lines

_PATIENCE = 60.0
_TOKENS = ("<|im_end|>", "<|im_start|>", "<|video_pad|>", "<|vision_start|>", "<|endoftext|>", "<|image_pad|>")
_ROW = {"video": "good.mp4", "question": "When is the circle to be seen?", "spans": [[1, 2]], "uid": "hostile"}


def _row(**fields: object) -> str:
    return json.dumps({**_ROW, **fields})


def _nested(chance: Random) -> str:
    return json.dumps(_ROW)[:-1] + ', "deep": ' + "[" * chance.randint(50_000, 200_000)


def _digits(chance: Random) -> str:
    return _row(spans="?").replace('"?"', f"[[1, {'9' * chance.randint(4_500, 20_000)}]]")


def _spoken(chance: Random) -> str:
    words = ["When", "does", "it", "rain?"]
    words.insert(chance.randrange(5), chance.choice(_TOKENS))
    return _row(question=" ".join(words))


ROWS: Mapping[str, Callable[[Random], str]] = MappingProxyType({
    "nested deeply": _nested,
    "a number of thousands of digits": _digits,
    "a lone surrogate": lambda chance: _row(question=f"When {chr(chance.randint(0xD800, 0xDFFF))}?"),
    "a question of 10 MB": lambda chance: _row(question="when " * chance.randint(2_000_000, 3_000_000)),
    "control tokens in the question": _spoken,
    "a name that is too long": lambda chance: _row(video="n" * chance.randint(300, 100_000)),
    "a name with a zero byte": lambda chance: _row(video=f"n\0{chance.random()}"),
    "bytes that are no UTF-8": lambda chance: _row(question="?").replace("?", chr(0xDC80 + chance.randrange(128))),
    "half a row": lambda chance: _row()[: chance.randint(1, 40)],
    "a span that ends nowhere": lambda chance: _row(spans=[[1, chance.choice([float("inf"), float("nan"), -3])]]),
})  # fmt: skip
"""The text of a hostile row, by kind."""


def _garbage(path: Path, chance: Random) -> None:
    path.write_bytes(b"\0\0\0\x18ftypmp42" + chance.randbytes(chance.randint(0, 50_000)))


def _sparse(path: Path, chance: Random) -> None:
    with path.open("wb") as file:
        file.truncate(chance.randint(1 << 39, 1 << 41))


def _flipped(path: Path, chance: Random) -> None:
    path.write_bytes((path.parent / "good.mp4").read_bytes())
    for _ in range(chance.choice([1, 1, 20])):
        flip(path, chance)


def _cut(path: Path, chance: Random) -> None:
    path.write_bytes((path.parent / "good.mp4").read_bytes())
    truncate(path, chance)


FILES: Mapping[str, Callable[[Path, Random], object]] = MappingProxyType({
    "a device": lambda path, chance: path.symlink_to(chance.choice(["/dev/zero", "/dev/full", "/dev/urandom"])),
    "a pipe": lambda path, chance: os.mkfifo(path),
    "a pipe in a folder of frames": lambda path, chance: (path.mkdir(), os.mkfifo(path / "0001.jpg")),
    "a sparse terabyte": _sparse,
    "a loop of links": lambda path, chance: path.symlink_to(path.name),
    "random bytes": _garbage,
    "a cut video": _cut,
    "a video with flipped bits": _flipped,
})  # fmt: skip
"""Makes a hostile file in the place of a video, by kind."""
_MAY_PASS = ("a cut video", "a video with flipped bits")
"""Videos in which the damage may lie where no frame is read, or spoils a picture and nothing else."""


@dataclass(frozen=True)
class Hostile:
    """A data set of three rows, the second of which is hostile. `made`: "rows" or "files"."""

    made: str
    trials: int

    @property
    def name(self) -> str:
        return f"hostile {self.made}"

    def prepare(self, work: Path) -> None:
        if not (work / "good.mp4").exists():
            video = MiniWorld(str(work / "mini"), "val", clips=1, workers=1).records()[0].video
            (work / "good.mp4").write_bytes(Path(video.path).read_bytes())

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        catalogue = list(ROWS if self.made == "rows" else FILES)
        which = catalogue[number % len(catalogue)]
        (trial / "good.mp4").write_bytes((work / "good.mp4").read_bytes())
        if self.made == "rows":
            row = ROWS[which](chance)
        else:
            FILES[which](trial / "bad.mp4", chance)
            row = _row(video="bad.mp4", **({"fps": 2.0} if "folder" in which else {}))
        lines = [_row(uid="first"), row, _row(uid="last")]
        (trial / "rows.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        job = call(lambda: _use(trial), trial, trial / "log")
        code = job.wait(_PATIENCE)
        job.stop()
        said = job.said()
        if code != 0:
            return Outcome(Verdict.LOST, which, f"exit code {code}: {last_lines(said)}")
        found = json.loads((trial / "found.json").read_text())
        if found["prompts"] == ["first", "hostile", "last"]:
            passes = which in _MAY_PASS
            return Outcome(Verdict.SURVIVED if passes else Verdict.LOST, which, "it was used as a prompt")
        told = [*found["failures"], *(line for line in said.splitlines() if "rows.jsonl" in line)]
        fine = found["prompts"] == ["first", "last"] and any("hostile" in line or "row 2" in line for line in told)
        return Outcome(Verdict.NAMED if fine else Verdict.LOST, which, f"{found} {last_lines(said)}"[:400])


def _use(folder: Path) -> None:
    """Read the rows, make prompts and a batch of them as a run does."""
    store = ClipStore(folder / "store")
    loader = ClipLoader(store, budget=PixelBudget(factor=32, min_pixels=32**2, max_pixels=64**2), on_miss="fill")
    processor = cast("Processor", part(compose(["policy=mini"]).processor))
    records = Jsonl(str(folder / "rows.jsonl"), str(folder), invalid="skip")
    dataset = PromptDataset(records, loader, AnswerOnly(), processor)
    items = [dataset[index] for index in range(len(dataset))]
    collate(items)
    found = {
        "prompts": [item.uid for item in items if isinstance(item, Prompt)],
        "failures": [f"{item.uid}: {item.reason}" for item in items if isinstance(item, Failure)],
    }
    (folder / "found.json").write_text(json.dumps(found))
