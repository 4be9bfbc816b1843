"""Rows of TSPO-10K, written as its description says: questions about whole videos, and targets of needles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kairos.core.types import VideoSource
from kairos.data.readers.annotation_file import AnnotationError, MissingVideo
from kairos.data.readers.tspo import TSPOJsonl

STEM = "What is the scene at the beginning of the video?"
LETTER = "Please respond with only the letter of the correct answer."
ROW = {
    "video": "academic/208.mp4",
    "original_question": f"<image>\n{STEM}\nA. Windswept sandy shore\nB. A forest\nC. Grassland\nD. Elephants",
    "original_answer": "A. Windswept sandy shore", "problem": f"<image>\n{STEM}", "solution": "<answer>a</answer>",
    "complete_answer": "stale", "type": "general",
}  # fmt: skip


def read(folder: Path, *rows: object, name: str = "TSPO_10k.jsonl") -> TSPOJsonl:
    (folder / "videos" / "academic").mkdir(parents=True, exist_ok=True)
    (folder / "videos" / "academic" / "208.mp4").write_bytes(b"x")
    text = "".join(json.dumps(row) + "\n" for row in rows) if name.endswith("l") else json.dumps(rows)
    (folder / name).write_text(text)
    return TSPOJsonl(str(folder / name), str(folder / "videos"), invalid="error", missing="error")


@pytest.mark.parametrize("name", ["TSPO_10k.jsonl", "toy.json"])
def test_a_row_becomes_a_choice_or_the_target_of_a_needle(tmp_path: Path, name: str):
    needle = {**ROW, "type": "specific", "solution": "<answer>d</answer>"}
    general, specific = read(tmp_path, ROW, needle, name=name).records()
    assert general.uid == f"tspo/{Path(name).stem}:1" and general.source == "tspo"
    assert (general.task, general.target.choice) == ("choice", "A")
    assert (specific.task, specific.target.choice) == ("needle", "D")
    assert general.question == STEM
    assert general.options == ("Windswept sandy shore", "A forest", "Grassland", "Elephants")
    assert general.video == VideoSource(str(tmp_path / "videos" / "academic" / "208.mp4"))
    assert not specific.target.evidence, "the whole target is the evidence"


@pytest.mark.parametrize(
    "question",
    [
        f"<image>\n{STEM}\nA. a bird\nB. a car",
        f"{STEM}\n(A) a bird\n(B) a car",
        f"<image>\n{STEM}\nA. a bird\nB. a car\n{LETTER}",
        f"<image>\n{STEM} {LETTER}\nA. a bird\n\nB. a car\n",
        f"<image>\n{STEM}\nA) a bird\nB) a car",
    ],
)
def test_options_are_read_in_every_form_and_instructions_left_out(tmp_path: Path, question: str):
    (record,) = read(tmp_path, {**ROW, "original_question": question}).records()
    assert (record.question, record.options) == (STEM, ("a bird", "a car"))


def test_a_line_that_begins_with_a_belongs_to_the_stem(tmp_path: Path):
    question = "What does he do?\nA man is seen.\nA. runs\nB. sits"
    (record,) = read(tmp_path, {**ROW, "original_question": question}).records()
    assert record.question == "What does he do?\nA man is seen." and record.options == ("runs", "sits")


NINE = STEM + "".join(f"\n{letter}. {letter}" for letter in "ABCDEFGHI")
BAD: list[tuple[dict[str, object], str]] = [
    ({"type": "needle"}, "`type` must be general or specific, got 'needle'"),
    ({"type": None}, "no `type`"),
    ({"original_question": STEM}, "`original_question` has no options"),
    ({"original_question": "A. a bird\nB. a car"}, "options but no question"),
    ({"original_question": NINE}, "more than 8 options"),
    ({"original_question": f"{STEM}\nA. a bird\nC. a car"}, "the line 'C. a car' is not option B"),
    ({"original_question": f"{STEM}\nA. a bird\nB. a car\nSay which."}, "the line 'Say which.' is not option C"),
    ({"original_question": f"{STEM}\nA.\nB. a car"}, "the line 'A.' is not option A"),
    ({"solution": "<answer>e</answer>"}, "`solution` is E, but the question has the 4 options A, B, C, D"),
    ({"solution": "<answer>a forest</answer>"}, "`solution` must be one letter"),
    ({"solution": "a"}, "`solution` must be one letter, as <answer>b</answer>, got 'a'"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_row_is_named_with_file_row_and_remedy(tmp_path: Path, change: dict[str, object], said: str):
    with pytest.raises(AnnotationError, match=r"TSPO_10k.jsonl, row 2: ") as told:
        read(tmp_path, ROW, {**ROW, **change}).records()
    assert said in str(told.value)


def test_an_absent_video_is_named(tmp_path: Path):
    with pytest.raises(MissingVideo, match=r"row 1: no video .*other.mp4"):
        read(tmp_path, {**ROW, "video": "other.mp4"}).records()
