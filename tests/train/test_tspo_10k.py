"""TSPO's own experiment, on rows of its form about clips of the mini world, answered by the shipped answerer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.running import curve, rows

from kairos.compose import build
from kairos.data.dataset import records_of
from kairos.data.mini.world import MiniWorld
from kairos.policy.answering.language import LanguageAnswerer
from kairos.rollout.frame_sets import FrameSets

SHRUNK = [
    "+policy.width=128", "answerer=mini", "enrich=mini_clip", "frames=mini_candidates", "trainer=cpu",
    "data.composition.distractors=3", "data.composition.frames=12", "data.composition.most=24", "trainer.devices=1",
    "strategy=single", "workers=0", "iterations=2", "sampling.group_size=3", "callbacks.progress=null",
    "enrich.clip.store.folder=features",
]  # fmt: skip
"""What this machine asks for: smaller models and groups, shorter needles, one process."""


@pytest.fixture
def overrides(tmp_path: Path) -> list[str]:
    world = MiniWorld(str(tmp_path / "videos"), "train", clips=5, tasks=["choice"], questions_per_clip=2)
    with (tmp_path / "TSPO_10k.jsonl").open("w") as file:
        for number, record in enumerate(world.records()):
            options = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", record.options, strict=False))
            row = {
                "video": str(Path(record.video.path).relative_to(tmp_path / "videos")),
                "original_question": f"<image>\n{record.question}\n{options}",
                "problem": f"<image>\n{record.question}",
                "solution": f"<answer>{str(record.target.choice).lower()}</answer>",
                "type": ("general", "specific")[number % 2],
            }
            file.write(json.dumps(row) + "\n")
    paths = [f"data.annotations={tmp_path / 'TSPO_10k.jsonl'}", f"data.videos={tmp_path / 'videos'}"]
    return ["experiment=tspo_10k", *SHRUNK, *paths, f"store={tmp_path / 'store'}", "name=a"]


def test_it_trains_on_both_kinds_of_rows(overrides: list[str]):
    built = build(overrides)
    engine = built.module.engine
    assert isinstance(engine, FrameSets) and isinstance(engine.answerer, LanguageAnswerer)
    before = {name: tensor.clone() for name, tensor in built.module.policy.state_dict().items()}
    built.trainer.fit(built.module, built.datamodule)
    after = built.module.policy.state_dict()
    moved = {name for name, tensor in after.items() if not tensor.equal(before[name])}
    assert {name.rpartition(".")[0] for name in before} - {name.rpartition(".")[0] for name in moved} == {"projection"}

    tasks = {record.uid: record.task for record in records_of(built.datamodule.dataset("train"))}
    assert len(tasks) == 10 and set(tasks.values()) == {"needle", "choice"}
    seen = rows(built.folder / "rollouts.jsonl")
    assert len(seen) == 2 * 2 * 3, "two iterations of two prompts"
    assert {row["task"] for row in seen} == {"needle", "choice"}
    for row in seen:
        needle = row["task"] == "needle"
        assert len(row["frames"]) == (16 if needle else 8)  # type: ignore[arg-type]
        assert row["text"] in set("ABCD")
        terms: dict[str, float] = row["terms"]  # type: ignore[assignment]
        assert ("evidence" in terms) == needle and terms["choice"] in (0, 1)
    assert curve(built.folder, "learn/rate") == pytest.approx([5e-4, 2.5e-4]), "it falls to zero behind the last"
    assert len(curve(built.folder, "reward/choice")) == 2
