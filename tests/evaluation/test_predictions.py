"""Every prompt that was asked comes out as one prediction, answered or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from kairos.core.seals import seal_path
from kairos.core.spans import Span
from kairos.core.types import (
    Failure,
    Prompt,
    PromptBatch,
    Rollout,
    RolloutGroup,
    Sampling,
    Target,
    VideoClip,
    VideoSource,
)
from kairos.data.records import Record
from kairos.data.templates.spans import AllSpans
from kairos.evaluation.predictions import Prediction, answer, complete, predict, read_file, write
from kairos.rollout.scripted import Scripted

SPAN = Span(2.0, 6.0)


def prompt(uid: str, task: str = "grounding", target: Target | None = None, options: Sequence[str] = ()) -> Prompt:
    clip = VideoClip(f"clip of {uid}", None, torch.arange(20) / 2, 10.0)
    return Prompt(uid, task, "test", clip, "When?", target or Target(spans=(SPAN,)), tuple(options))


def said(text: str, **fields: object) -> Prediction:
    return predict(prompt("a", **fields), Rollout(text, torch.arange(5), truncated=False))  # type: ignore[arg-type]


def test_a_right_span_is_scored_and_its_tokens_are_counted():
    row = said("<answer>2.0 to 4.0</answer>")
    assert (row.spans, row.iou, row.correct, row.reason, row.length) == ((Span(2.0, 4.0),), 0.5, None, None, 5)


def test_an_unparsable_answer_scores_zero_and_says_why():
    row = said("no idea")
    assert row.iou == 0.0 and row.reason is not None and row.answered


def test_a_choice_without_a_letter_is_wrong_not_absent():
    asked = {"task": "choice", "target": Target(choice="B"), "options": ("red", "blue")}
    assert said("<answer>B</answer>", **asked).correct is True
    assert said("<answer>A</answer>", **asked).correct is False
    failed = said("hm", **asked)
    assert failed.correct is False and failed.reason is not None and failed.iou is None


def test_where_the_template_lists_spans_one_of_two_is_half_of_the_answer():
    asked = replace(prompt("a", target=Target(spans=(Span(0.0, 2.0), Span(4.0, 6.0)))), template=AllSpans())
    for text, iou in (("0.0 to 2.0", 0.5), ("0.0 to 2.0 and 4.0 to 6.0", 1.0), ("[[4, 6], [0, 2]]", 1.0)):
        row = predict(asked, Rollout(f"<answer>{text}</answer>", None))
        assert row.iou == iou and row.many
    assert predict(replace(asked, template=None), Rollout("<answer>0.0 to 2.0</answer>", None)).iou == 1.0


def test_grounded_questions_are_scored_twice():
    row = said(
        "<answer>B 2.0 to 6.0</answer>", task="grounded_qa", target=Target(spans=(SPAN,), choice="B"), options="ab"
    )
    assert row.correct is True and row.iou == 1.0


class Recorder(Scripted):
    """A scripted engine that remembers how it was asked."""

    asked: Sampling | None = None
    prompts = 0

    def generate(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        self.asked = sampling
        self.prompts += len(prompts) * group_size
        return super().generate(prompts, group_size, sampling, seed)


def test_answering_is_greedy_skips_stand_ins_and_counts_failures():
    engine = Recorder(["<answer>2.0 to 6.0</answer>"])
    a, b = prompt("a"), prompt("b")
    batches = [
        PromptBatch((a, a), torch.tensor([1.0, 0.0]), (Failure("lost", "will not decode"),)),
        PromptBatch((b,), torch.ones(1)),
    ]
    done: list[int] = []
    rows = answer(engine, batches, Sampling(temperature=1.0, top_p=0.5, max_actions=7), progress=done.append)
    assert engine.asked is not None and (engine.asked.temperature, engine.asked.max_actions) == (0.0, 7)
    assert engine.prompts == 2 and done == [2, 1]
    assert [(row.uid, row.iou, row.reason) for row in rows] == [
        ("a", 1.0, None), ("lost", 0.0, "failed: will not decode"), ("b", 1.0, None),
    ]  # fmt: skip


def test_completing_names_what_is_missing_and_what_a_failed_prompt_asked():
    records = [
        Record(uid, "choice", "test", VideoSource("x.mp4"), "Which?", Target(choice="A"), ("x", "y"), 10.0)
        for uid in ("late", "lost", "a")
    ]
    batch = PromptBatch((prompt("a", "choice", Target(choice="A")),), torch.ones(1), (Failure("lost", "broken"),))
    answered = answer(Scripted(["<answer>A</answer>"]), [batch], Sampling())
    assert [row.many for row in complete(answered, records, many=True)] == [True, True, False], "the answered one knows"
    rows = complete(answered, records)
    assert [(row.uid, row.task, row.reason, row.correct, row.iou) for row in rows] == [
        ("late", "choice", "missing", False, None),
        ("lost", "choice", "failed: broken", False, None),
        ("a", "choice", None, True, None),
    ]


def test_a_written_file_reads_back_equal_and_a_broken_one_names_its_line(tmp_path):
    path = tmp_path / "predictions" / "after.jsonl"
    rows = [said("<answer>2.0 to 4.0</answer>"), said("käse\n€")]
    write(rows, path)
    assert read_file(path) == rows
    older = [{name: value for name, value in json.loads(line).items() if name != "many"} for line in path.open()]
    seal_path(path).unlink()
    path.write_text("".join(json.dumps(row) + "\n" for row in older))
    assert read_file(path) == rows, "files of before have no `many`, and no seal"
    path.write_text(path.read_text() + '{"uid": "x"}\n')
    with pytest.raises(ValueError, match=r"after\.jsonl:3 is not a prediction"):
        read_file(path)
