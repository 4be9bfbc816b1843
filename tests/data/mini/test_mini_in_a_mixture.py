"""The mini world as a part of a mixture: its own settings there, the part's name in prompts and in logs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from helpers.running import curve
from PIL import Image

from kairos.compose import build, compose
from kairos.core.types import Prompt
from kairos.train.feed.datamodule import PromptDataModule

MIXTURE = [
    "policy=toy", "data=mixture", "frames=mini", "template=answer", "trainer=cpu", "callbacks.progress=null",
    "callbacks.validation=null", "prompts=5",
    "+data@data.parts.world=mini", "data.parts.world.clips=2", "data.parts.world.val_clips=1",
    "data.parts.world.folder=rendered", "data.parts.world.tasks=[grounding,choice]",
    "+data@data.parts.mine=jsonl", "data.parts.mine.annotations=mine.jsonl",
]  # fmt: skip


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four questions about one folder of frames."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    for number in range(8):
        Image.new("RGB", (64, 64), (20 * number, 90, 90)).save(tmp_path / "frames" / f"{number:03d}.png")
    row = {"video": "frames", "fps": 4, "question": "rain", "spans": [[0.5, 1.5]], "duration": 2.0}
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(4)))
    return tmp_path


def prompts(datamodule: PromptDataModule, split: str) -> list[Prompt]:
    return [prompt for batch in datamodule.batches(split) for prompt in batch.prompts]


def test_mini_and_a_jsonl_train_together_and_each_logs_under_its_name(workplace: Path) -> None:
    built = build([*MIXTURE, "iterations=2", "+data.weights={mine: 1.5}"])
    drawn = prompts(built.datamodule, "train")
    assert Counter(p.source for p in drawn) == {"world": 6, "mine": 6}
    assert {p.task for p in drawn if p.source == "world"} == {"grounding", "choice"}
    assert all(p.uid.startswith("mini/train-0/") for p in drawn if p.source == "world")
    assert all(p.clip.frames_TCHW is not None for p in drawn), "rendered and decoded, not only listed"
    assert Counter(p.source for p in prompts(built.datamodule, "val")) == {"world": 3, "mine": 4}
    assert sorted(path.name.split("-")[0] for path in (workplace / "rendered").iterdir()) == ["train", "val"]
    assert not (workplace / ".cache" / "mini").exists(), "the part's own folder, not the option's default"
    built.trainer.fit(built.module, built.datamodule)
    for source in ("world", "mine"):
        assert curve(built.folder, f"reward_{source}/total"), source
    assert not curve(built.folder, "reward_mini/total")


def test_two_mini_worlds_keep_their_settings_apart() -> None:
    config = compose(
        [
            "data=mixture", "+data@data.parts.a=mini", "+data@data.parts.b=mini", "data.parts.b.seed=7",
            "data.parts.b.loosen=1.5", "data.parts.b.val_clips=3", "data.seed=5",
        ]
    )  # fmt: skip
    a, b = config.data.parts.a, config.data.parts.b
    assert (a.train.records.seed, a.train.records.loosen, a.val.records.clips) == (0, 0.0, 120)
    assert (b.train.records.seed, b.train.records.loosen, b.val.records.clips) == (7, 1.5, 3)
    assert b.val.records.seed == 7 and a.val.records.folder == ".cache/mini"


@pytest.mark.parametrize("choice", ["data=mini", "data=mini_pretrain", "experiment=mini_base", "experiment=quickstart"])
def test_alone_the_mini_world_still_follows_its_root(choice: str) -> None:
    config = compose([choice, "data.folder=elsewhere", "data.val_clips=9", "data.seed=3", "data.tasks=[choice]"])
    val = config.data.val.records
    assert (val.folder, val.clips, val.seed, list(val.tasks)) == ("elsewhere", 9, 3, ["choice"])
    train = config.data.world if "world" in config.data else config.data.train.records
    assert (train.folder, train.seed, list(train.tasks)) == ("elsewhere", 3, ["choice"])
