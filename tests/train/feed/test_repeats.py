"""A prompt that a selection names twice is drawn twice, with rollouts of its own each time."""

from __future__ import annotations

from pathlib import Path

from helpers.running import assert_same_run, curve, fit, rows

from kairos.curriculum.selections import Selection, write_selection

ZERO, ONE = "toy/train-0/0000", "toy/train-0/0001"
OPTIONS = ["curriculum=selection", "curriculum.selection=twice.json", "template=hybrid", "callbacks.checkpoint.every=1"]


def test_each_time_has_a_name_and_rollouts_of_its_own_in_every_wording(tmp_path: Path):
    """Two epochs of one step: the first asks for answers, the second for thinking."""
    write_selection("twice.json", Selection((ZERO, ONE, ZERO, ZERO)))
    run = fit("name=whole", *OPTIONS, "iterations=4", "optimizer.learning_rate=0", "callbacks.checkpoint.keep=all")
    said: dict[str, list[str]] = {}
    for row in rows(run.folder / "rollouts.jsonl"):
        if row["iteration"] == 1:
            said.setdefault(str(row["uid"]), []).append(str(row["text"]))
    assert said.keys() == {ZERO, ONE, f"{ZERO}#2", f"{ZERO}#3"}
    assert len({tuple(texts) for uid, texts in said.items() if uid != ONE}) == 3
    targets = {row["uid"]: row["target"] for row in rows(run.folder / "rollouts.jsonl")}
    assert targets[ZERO] == targets[f"{ZERO}#2"] == targets[f"{ZERO}#3"] != targets[ONE]
    formats = curve(run.folder, "reward/format")
    assert formats[0] > 0.0 and formats[1:] == [0.0] * 3, "the toy never thinks"
    fit("name=part", *OPTIONS, "iterations=2", "optimizer.learning_rate=0", "callbacks.checkpoint.keep=all")
    part = fit("name=part", *OPTIONS, "iterations=4", "optimizer.learning_rate=0", "callbacks.checkpoint.keep=all",
               resume=True)  # fmt: skip
    assert_same_run(run.folder, part.folder)


def test_a_repeated_prompt_may_be_asked_by_a_pass_and_dropped_alone():
    write_selection("twice.json", Selection((ZERO, ONE, ZERO, ONE)))
    run = fit(
        "name=a", "prompts=2", "iterations=4", "curriculum=refilter", "+curriculum.selection=twice.json",
        "curriculum.refilter.source=pass", "curriculum.refilter.selector.low=-1", "curriculum.refilter.selector.high=2",
    )  # fmt: skip
    drawn = [row["uid"] for row in rows(run.folder / "rollouts.jsonl") if row["row"] == 0]
    assert sorted(drawn[:4]) == sorted(drawn[4:]) == sorted([ZERO, ONE, f"{ZERO}#2", f"{ONE}#2"])  # type: ignore[type-var]
