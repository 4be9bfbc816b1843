"""Conventions of published evaluations: what each changes in the score of the same answers; ours counts all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.predicting import said
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kairos.compose import CONF
from kairos.core.spans import Span
from kairos.evaluation.categories import by_category, by_group, macro
from kairos.evaluation.conventions import OURS, Convention, score_differences
from kairos.evaluation.metrics import standard
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.scores import scored

NAMES = sorted(path.stem for path in (Path(CONF) / "convention").glob("*.yaml"))


def convention(name: str) -> Convention:
    return instantiate(OmegaConf.load(Path(CONF) / "convention" / f"{name}.yaml"), _convert_="all")


def answered(text: str, right: str = "B", options: int = 4, **fields: object) -> Prediction:
    given = {"correct": False, **fields}
    return said(uid=text, text=text, task="choice", target_choice=right, options=options, **given)


def test_every_option_is_a_convention_of_its_name_that_names_its_source_and_what_differs():
    assert len(NAMES) > 15
    for name in NAMES:
        found = convention(name)
        assert found.name == name
        assert bool(found.departures()) == bool(found.source) == (name != "ours"), name
        assert json.loads(json.dumps(found.departures())) == found.departures()
    assert convention("ours") == OURS


def test_ours_is_what_the_score_table_says():
    rows = [said([[0, 5]], [[0, 10]], "a"), said([], [[0, 10]], "b"), said([[0, 10]], [[0, 10]], "c")]
    scores = OURS.scores(rows, standard())
    assert (scores["miou"], scores["recall_50"], scores["parse_failures"]) == (0.5, pytest.approx(2 / 3), 1 / 3)
    assert all(found.ours == found.theirs for found in score_differences(rows, OURS, standard()))


def test_a_strict_inequality_loses_what_lies_on_the_threshold():
    rows = [said([[0, 5]], [[0, 10]], "a"), said([[0, 6]], [[0, 10]], "b")]
    found = {d.name: d for d in score_differences(rows, convention("time_r1"), standard())}
    assert (found["recall_50"].ours, found["recall_50"].theirs) == (1.0, 0.5)
    assert str(found["recall_50"]) == "recall_50: ours 1.0000, theirs 0.5000 (-0.5000)"
    assert found["miou"].ours == found["miou"].theirs


def test_times_are_rounded_to_whole_seconds_or_outward():
    row = said([[1.4, 5.6]], [[1, 6]], text="<answer>1.4 - 5.6</answer>")
    assert convention("tempsamp_r1").judged([row])[0].spans == (Span(1.0, 6.0),)
    assert convention("vue_tr").judged([row])[0].spans == (Span(1.0, 6.0),)
    half = said([[2.5, 6.5]], [[1, 6]], text="2.5 - 6.5")
    assert convention("timelens").judged([half])[0].spans == (Span(2.0, 6.0),), "halves go to the even second"
    assert OURS.judged([row])[0].spans == row.spans and OURS.judged([row])[0].iou == row.iou


def test_rows_that_failed_leave_the_denominator_where_the_released_code_drops_them():
    rows = [
        said([[0, 10]], [[0, 10]], "a", text="0 to 10"),
        said([], [[0, 10]], "b", text="I do not know"),
        said([], [[0, 10]], "c", reason="failed: no video"),
        said([], [[0, 10]], "d", reason="missing"),
    ]
    assert OURS.scores(rows, standard())["miou"] == 0.25
    assert convention("timezero").scores(rows, standard())["miou"] == 0.5
    assert convention("nextgqa").scores(rows, standard())["miou"] == 1.0
    with pytest.raises(ValueError, match="by the convention nextgqa none of 2 rows counts"):
        convention("nextgqa").scores(rows[2:], standard())


def test_a_whole_output_lets_the_thinking_answer():
    row = said([], [[3, 5]], text="<think>It is 3 to 5</think><answer>unknown</answer>")
    (judged,) = convention("timezero").judged([row])
    assert judged.spans == (Span(3, 5),) and judged.iou == 1.0 and judged.reason is None and row.iou == 0.0


def test_reversed_times_and_missing_ones_are_lita_s_way_answers():
    rows = [
        said([], [[10, 20]], "a", text="<20.0> <10> because", video="v1.mp4", duration=40.0),
        said([], [[10, 20]], "b", text="no time", video="v1.mp4", duration=40.0),
        said([], [[0, 40]], "c", text="<0> <999.5>", video="v2.mp4", duration=40.0),
    ]
    rtl = convention("activitynet_rtl")
    assert [row.spans for row in rtl.judged(rows)] == [(Span(10, 20),), (Span(0, 40),), (Span(0, 40),)]
    assert rtl.scores(rows, standard())["miou"] == pytest.approx(((1.0 + 0.25) / 2 + 1.0) / 2), "over videos"


@pytest.mark.parametrize(
    ("name", "text", "letter"),
    [
        ("videomme_vlmevalkit", "Based on the video: C", "B"), ("videomme_vlmevalkit", "none", None),
        ("mvbench_lmms_eval", "It shows a dog, so B", "A"), ("mvbench_lmms_eval", "C. a dog and a cat", "C"),
        ("mlvu", "B) a dog", "B"), ("mlvu", "(B) a dog", "B"), ("mlvu", "B", None),
        ("lvbench", "B", "B"), ("lvbench", "(C", "C"), ("lvbench", "It is (D) there", "D"), ("lvbench", "so", None),
        ("tempcompass", "B. red", "B"), ("tempcompass", "B) red", "B"), ("tempcompass", "It is B.", None),
        ("tempcompass_yes_no", "Yes, it is", "A"), ("tempcompass_yes_no", "no", "B"),
        ("tempcompass_yes_no", "so", None),
    ],
)  # fmt: skip
def test_letters_are_read_by_the_rules_of_each_harness(name: str, text: str, letter: str | None):
    (row, *_) = [*convention(name).judged([answered(text), answered("A) ")]), answered("")]
    assert (row.choice if row.uid == text else None) == letter


def test_tempcompass_ratings_of_released_answers_are_met_row_by_row(real_data: Path):
    kinds = {"mc": ("tempcompass", 1458, 940), "yes_no": ("tempcompass_yes_no", 2438, 1721)}
    for kind, (name, rows, right) in kinds.items():
        rated = json.loads((real_data / "oracles" / f"tempcompass_{kind}_rated_gemini.json").read_text())
        matched = [
            row for dimensions in rated.values() for each in dimensions.values() for row in each if row["match_success"]
        ]
        assert len(matched) == rows
        letters = [row["gt-answer"][0] if kind == "mc" else "AB"[row["gt-answer"] == "no"] for row in matched]
        texts = [row["video-llm-prediction"] for row in matched]
        asked = [answered(text, letter) for text, letter in zip(texts, letters, strict=True)]
        ratings = [int(bool(row.correct)) for row in convention(name).judged(asked)]
        assert ratings == [row["rating"] for row in matched] and sum(ratings) == right
        others = [
            row for each in rated.values() for rows_ in each.values() for row in rows_ if not row["match_success"]
        ]
        left = convention(name).judged([answered(row["video-llm-prediction"] or "", "A") for row in others])
        assert not any(row.choice for row in left), "the rules match nothing that they did not match"


def test_categories_are_told_apart_and_averaged_as_macro():
    rows = [answered(str(n), correct=n > 0, choice="B", category="count" if n < 3 else "order") for n in range(4)]
    rows = scored(rows, standard())
    assert {name: found["accuracy"] for name, found in by_category(rows).items()} == {
        "count": pytest.approx(2 / 3),
        "order": 1,
    }
    assert macro(by_group(rows, "category"))["accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert by_category([said()]) == {}


def test_a_wrong_value_of_a_convention_is_named():
    with pytest.raises(ValueError, match="rounding must be one of none, whole, outward, got 'down'"):
        Convention("mine", rounding="down")  # type: ignore[arg-type]
