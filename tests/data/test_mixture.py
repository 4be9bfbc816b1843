"""Mixtures: limits, weights and names of parts, drawn the same everywhere; and a run that logs each part by name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from helpers.running import TOY, curve
from PIL import Image

from kairos.compose import build, compose
from kairos.core.spans import Span
from kairos.core.types import Target, VideoSource
from kairos.data.dataset import PromptDataset, records_of
from kairos.data.mixture import mixed
from kairos.data.records import Record
from kairos.data.toy import ToyGrounding
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore


def part(name: str, size: int, folder: Path) -> dict[str, object]:
    records = [
        Record(f"{name}:{i}", "grounding", name, VideoSource(f"{i}.mp4"), "q", Target((Span(0, 1),)))
        for i in range(size)
    ]
    dataset = partial(PromptDataset, records, ClipLoader(ClipStore(str(folder))))
    return {"train": dataset, "val": dataset, "missing": "skip"}


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, dict[str, object]]:
    return {"big": part("raw", 100, tmp_path), "small": part("other", 10, tmp_path)}


def uids(parts: dict[str, dict[str, object]], **options: object) -> list[str]:
    return [record.uid for record in records_of(mixed(parts, "train", **options))]  # type: ignore[arg-type]


def test_a_mixture_is_its_parts_under_their_names(parts: dict[str, dict[str, object]]) -> None:
    records = records_of(mixed(parts, "val"))
    assert Counter(record.source for record in records) == {"big": 100, "small": 10}
    assert [record.uid for record in records] == [f"raw:{i}" for i in range(100)] + [f"other:{i}" for i in range(10)]


def test_a_limit_leaves_the_first_or_a_random_part_drawn_by_the_seed(parts: dict[str, dict[str, object]]) -> None:
    assert uids(parts, limits={"big": 2, "small": "end:10%"}) == ["raw:0", "raw:1", "other:9"]
    drawn = uids(parts, limits={"big": "random:20"}, seed=1)[:20]
    assert (
        drawn == uids(parts, limits={"big": "random:20"}, seed=1)[:20] != uids(parts, limits={"big": "random:20"})[:20]
    )
    assert len(set(drawn)) == 20 and drawn != [f"raw:{i}" for i in range(20)]


def test_a_weight_is_how_often_an_epoch_sees_a_record(parts: dict[str, dict[str, object]]) -> None:
    found = uids(parts, weights={"big": 0.25, "small": 2.5})
    assert len(found) == len(set(found)) == 25 + 25, "a repeated record has a uid of its own: other rollouts"
    assert found == uids(parts, weights={"big": 0.25, "small": 2.5})
    times = Counter(uid.partition("#")[0] for uid in found if uid.startswith("other"))
    assert sorted(times.values()) == [2] * 5 + [3] * 5
    assert {"other:0", "other:0#2"} <= set(found)
    assert len(uids(parts, limits={"big": 10}, weights={"big": 0.5})) == 5 + 10, "the weight counts what the limit left"


def test_what_one_part_draws_does_not_depend_on_the_others(parts: dict[str, dict[str, object]]) -> None:
    alone = uids({"big": parts["big"]}, limits={"big": "random:7"}, weights={"big": 1.5})
    assert alone == uids(parts, limits={"big": "random:7"}, weights={"big": 1.5})[: len(alone)]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"weights": {"bgi": 2}}, "data.limits or data.weights name bgi; the parts are big, small"),
        ({"weights": {"big": 0}}, "data.weights.big must be above 0, got 0; leave the part out instead"),
        ({"weights": {"small": 0.01}}, "data.weights.small=0.01 leaves none of its 10 records"),
        ({"limits": {"big": "some"}}, "'some' names no part of part big of the mixture; write first:N"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(
    parts: dict[str, dict[str, object]], options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        uids(parts, **options)


def test_a_part_must_be_a_data_option_with_records(parts: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ValueError, match=r"no parts; add one with \+data@data.parts.NAME=OPTION"):
        mixed({}, "train")
    with pytest.raises(ValueError, match=r"data.parts.big has no 'test'"):
        mixed(parts, "test")
    with pytest.raises(ValueError, match=r"data.parts.toy makes a ToyGrounding; a part needs records"):
        mixed({"toy": {"train": ToyGrounding}}, "train")


Annotate = Callable[[str, str], str]


@pytest.fixture
def annotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Annotate:
    """Writes a JSONL of four questions about one folder of frames, and gives its path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    for number in range(8):
        Image.new("RGB", (64, 64), (20 * number, 90, 90)).save(tmp_path / "frames" / f"{number:03d}.png")

    def write(name: str, question: str) -> str:
        row = {"video": "frames", "fps": 4, "question": question, "spans": [[0.5, 1.5]], "duration": 2.0}
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for _ in range(4)))
        return name

    return write


def test_a_run_on_a_mixture_composes_on_the_command_line_and_logs_each_part(annotate: Annotate) -> None:
    overrides = [
        *TOY, "data=mixture", "data.on_miss=off", "iterations=2", "prompts=8", "callbacks.validation=null",
        "+data@data.parts.one=jsonl", f"data.parts.one.annotations={annotate('one.jsonl', 'rain')}",
        "+data@data.parts.two=jsonl", f"data.parts.two.annotations={annotate('two.jsonl', 'music')}",
        "+data.weights={two: 2}", "+data.limits={one: 'random:50%'}",
    ]  # fmt: skip
    overrides.remove("data=toy")
    overrides.remove("prompts=4")
    built = build(overrides)
    assert Counter(r.source for r in records_of(built.datamodule.dataset("train"))) == {"one": 2, "two": 8}
    assert Counter(r.source for r in records_of(built.datamodule.dataset("val"))) == {"one": 4, "two": 4}
    built.trainer.fit(built.module, built.datamodule)
    for source in ("one", "two"):
        for name in (f"reward_{source}/iou", f"reward_{source}/total", f"rollout_{source}/iou"):
            assert len(curve(built.folder, name)) >= 1, name
    assert curve(built.folder, "rollout/iou") == pytest.approx(curve(built.folder, "reward/iou"), abs=1e-6)


def test_every_reader_may_be_a_part_twice_with_files_of_its_own() -> None:
    config = compose(
        [
            "data=mixture", "+data@data.parts.a=charades", "data.parts.a.annotations=A", "data.parts.a.videos=VA",
            "+data@data.parts.b=charades", "data.parts.b.annotations=B", "data.parts.b.videos=VB",
        ]
    )  # fmt: skip
    assert config.data.parts.a.train.records.annotations == "A/charades_sta_train.txt"
    assert config.data.parts.b.val.records.videos == "VB"
