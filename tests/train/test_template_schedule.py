"""Prompts of an epoch carry the epoch's wording, and validation asks in every wording."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import curve, fit, rows
from torch.utils.data import ConcatDataset

from kairos.compose import build
from kairos.core.types import Prompt
from kairos.data.templates.answer import AnswerOnly
from kairos.data.templates.schedule import Phase, Schedule, all_phases, in_phase, schedule_of
from kairos.data.templates.think import Think
from kairos.data.toy import ToyGrounding
from kairos.runs.read import read_run
from kairos.runs.summary import summary_of

HYBRID = Schedule({"answer": Phase(AnswerOnly(), epochs=2), "think": Phase(Think())})


def wording(item: object) -> str:
    assert isinstance(item, Prompt) and item.template is not None
    return type(item.template).__name__


def test_phases_last_as_many_epochs_as_they_say_and_the_last_for_ever():
    assert [HYBRID.phase(epoch) for epoch in range(5)] == [0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="at least one epoch"):
        Phase(AnswerOnly(), epochs=0)
    with pytest.raises(ValueError, match="at least one phase"):
        Schedule({})


def test_a_data_set_is_there_once_in_every_wording():
    data = ToyGrounding(prompts=3, template=HYBRID)
    both = all_phases(data)
    assert [wording(both[i]) for i in range(6)] == ["AnswerOnly"] * 3 + ["Think"] * 3
    assert [both[i].uid for i in range(3)] == [both[i].uid for i in range(3, 6)]  # type: ignore[union-attr]
    assert data.template is HYBRID, "the data set itself stays as it was"
    plain = ToyGrounding(prompts=3)
    assert all_phases(plain) is plain and in_phase(plain, 1) is plain


def test_parts_with_a_template_of_their_own_keep_it():
    data = ConcatDataset([ToyGrounding(prompts=2), ToyGrounding(prompts=2, template=HYBRID)])
    assert schedule_of(data) is HYBRID
    assert [wording(in_phase(data, 1)[i]) for i in range(4)] == ["AnswerOnly"] * 2 + ["Think"] * 2


def test_the_schedule_is_a_template_too_and_says_all_its_words():
    assert HYBRID.well_formed("<answer>1.0 to 2.0</answer>") and HYBRID.grammar == AnswerOnly().grammar
    said = HYBRID.describe()
    assert said["answer.template"] == "answer" and "<think>" in said["think.grounding"]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_format_reward_follows_the_epoch(workers: int):
    """The toy never thinks: its format is right in the epochs of the first wording, and wrong in those after."""
    run = fit(
        "name=a", "template=hybrid", "iterations=8", f"workers={workers}", "+policy.order=12",
        "callbacks.validation.every=4", "sampling.group_size=2", "callbacks.checkpoint.every=2",
    )  # fmt: skip
    formats = curve(run.folder, "reward/format")
    assert formats[:4] == [1.0] * 4 and formats[4:] == [0.0] * 4
    first = [row["uid"] for row in rows(run.folder / "rollouts.jsonl") if row["row"] == 0]
    assert sorted(first[:16]) == sorted(first[16:]), "the same prompts"
    validated = rows(run.folder / "metrics.jsonl")[3]
    assert {"val/miou", "val_with_think/miou"} <= validated.keys()
    alone = fit("name=b", "template=hybrid", "iterations=1", "callbacks.validation.every=1",
                "callbacks.validation.every_phase=false")  # fmt: skip
    assert curve(alone.folder, "val/miou") and not curve(alone.folder, "val_with_think/miou")


def test_a_run_is_evaluated_in_every_wording_before_and_after():
    """The toy never thinks: in the second wording no answer is well formed, but every one is read."""
    options = ("iterations=1", "evaluate=both")
    run = fit("name=a", "template=hybrid", *options)
    written = {str(path.relative_to(run.folder / "predictions")) for path in run.folder.glob("predictions/**/*.jsonl")}
    assert written == {f"{place}{when}.jsonl" for place in ("", "with_think/") for when in ("before", "after")}
    summary = summary_of(run.folder, seed=0, iterations=1)
    think = summary["probes"]["with_think"]  # type: ignore[index]
    assert think["n"] == think["before"]["n"] == summary["n_val"] and "miou" in think["before"]
    assert list(read_run(run.folder).probes) == ["with_think"]
    fit("name=b", "template=hybrid", *options, "callbacks.evaluation.every_phase=false")
    fit("name=c", *options)
    for name in ("b", "c"):
        written = {path.name for path in Path("runs", name, "predictions").iterdir() if path.suffix != ".seal"}
        assert written == {"after.jsonl", "before.jsonl"}


def test_the_schedule_goes_on_where_a_run_was_cut_off():
    options = ["template=hybrid", "callbacks.checkpoint.every=1", "sampling.group_size=2"]
    whole = fit("name=whole", *options, "iterations=6")
    fit("name=part", *options, "iterations=3")
    part = fit("name=part", *options, "iterations=6", resume=True)
    assert (whole.folder / "rollouts.jsonl").read_bytes() == (part.folder / "rollouts.jsonl").read_bytes()


def test_a_language_policy_reads_the_wording_of_its_epoch(workplace: Path):
    """The layout too is the phase's: decoded, the thinking prompt holds its sentence."""
    built = build([
        "policy=mini", "data=mini", "frames=mini", "template=hybrid", "data.clips=1", "data.val_clips=1",
        "trainer=cpu", "prompts=1", "name=a",
    ])  # fmt: skip
    processor = built.module.policy.processor  # type: ignore[attr-defined]
    texts = []
    for phase in (0, 1):
        (batch,) = built.datamodule.batches("train", 1, phase=phase)
        layout = batch.prompts[0].layout
        assert layout is not None
        texts.append(processor.decode(layout.ids_L.tolist()))
    assert "<think>" not in texts[0] and "<think>" in texts[1]
