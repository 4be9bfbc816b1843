"""What the frames that an answer was given from show of the evidence, and that older predictions are still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from kairos.compose import compose, metrics_of
from kairos.core.spans import Span
from kairos.core.types import Prompt, Rollout, Target, VideoClip
from kairos.evaluation.frame_metrics import EvidenceRecall, EvidenceShare
from kairos.evaluation.predictions import Prediction, predict, read_file, unanswered, write
from kairos.evaluation.scores import means, scored

EVIDENCE = (Span(2.0, 3.0), Span(7.0, 8.0))


def answered(chosen: list[int] | None, evidence: tuple[Span, ...] = EVIDENCE) -> Prediction:
    clip = VideoClip("a", None, torch.arange(20) / 2, 10.0)
    prompt = Prompt("a", "needle", "test", clip, "?", Target(choice="B", evidence=evidence), ("red", "blue"))
    chosen_K = None if chosen is None else torch.tensor(chosen)
    return predict(prompt, Rollout("<answer>B</answer>", None, chosen_K=chosen_K))


def test_recall_counts_stretches_and_share_counts_frames() -> None:
    row = answered([0, 4, 5, 6])  # 0.0, 2.0, 2.5 and 3.0 s: three in the first stretch, none in the second
    assert row.frames == (0.0, 2.0, 2.5, 3.0) and row.evidence == EVIDENCE
    assert EvidenceRecall().value(row) == 0.5 and EvidenceShare().value(row) == 0.75


def test_an_answer_from_the_whole_clip_shows_all_of_the_evidence() -> None:
    row = answered(None)
    assert row.frames is not None and len(row.frames) == 20
    assert EvidenceRecall().value(row) == 1.0 and EvidenceShare().value(row) == 6 / 20


def test_prompts_without_evidence_and_without_an_answer_are_left_out() -> None:
    rows = [answered([0, 1], ()), unanswered("b", "missing"), answered([4])]
    assert answered(None, ()).frames is None
    found = means(scored(rows, metrics_of(compose(["metrics=frames"]))))
    assert found["evidence_recall"] == 0.5 and found["evidence_share"] == 1.0
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_frames_and_evidence_come_back_from_a_file(tmp_path: Path) -> None:
    rows = [answered([0, 4]), answered(None, ())]
    write(rows, tmp_path / "rows.jsonl")
    assert read_file(tmp_path / "rows.jsonl") == rows


def test_a_file_from_before_frames_were_kept_is_read(tmp_path: Path) -> None:
    write([answered([0, 4])], tmp_path / "today.jsonl")
    row = json.loads((tmp_path / "today.jsonl").read_text())
    for name in ("frames", "evidence", "many", "scores"):
        del row[name]
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (read,) = read_file(tmp_path / "rows.jsonl")
    assert read.frames is None and read.evidence == () and read.choice == "B"
