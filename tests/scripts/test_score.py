"""scripts/score.py: the papers' values to six digits, groups, bad rows, and completions of any size and script."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.running import TOY, fit
from helpers.scripting import Script
from hydra.utils import instantiate

from kairos.compose import compose, train
from kairos.core.types import Origin, Prompt, Rollout, RolloutGroup, Target, VideoClip
from kairos.credit.earned import Earned
from kairos.credit.rescoring import Rescorer, Tally
from kairos.credit.rewards.rubric import RewardError
from kairos.credit.rows import RowError, parse
from kairos.train.diagnostics import Credited, records

TARGET = {"target": [[5.1, 10.2]], "duration": 30.0}
Score = Callable[..., list[dict[str, object]]]


@functools.cache
def rescorer(*overrides: str) -> Rescorer:
    return instantiate(compose(("compat=ours", *overrides), name="score").rescorer, _convert_="all")


@pytest.fixture
def scored(tmp_path: Path) -> Score:
    """(rows, *overrides) -> output rows."""

    def score(rows: list[dict[str, object]], *overrides: str) -> list[dict[str, object]]:
        source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        rescorer(*overrides).run(source, output)
        return [json.loads(line) for line in output.read_bytes().splitlines()]

    return score


def one(scored: Score, completion: str, *overrides: str, **fields: object) -> tuple[dict[str, float], float]:
    (row,) = scored([{"completion": completion, **TARGET, **fields}], *overrides)
    return row["terms"], row["reward"]  # type: ignore[return-value]


# The specifications' vectors

THOUGHT = "<think>x</think>"
TIMEZERO = [
    (f"{THOUGHT}<answer>5.0 to 11.6</answer>", 0.772727, 1), (f"{THOUGHT}<answer>5.0 and 11.6</answer>", 0.772727, 1),
    (f"{THOUGHT}<answer>1 to 2</answer> so <answer>5.0 to 11.6</answer>", 0.772727, 1),
    ("<answer>5.0 to 11.6</answer>", 0.772727, 0), (f"{THOUGHT} so <answer>5.0 to 11.6</answer>", 0.772727, 0),
    (f"{THOUGHT}<answer>5.0 - 11.6</answer>", 0.0, 1), (f"{THOUGHT}<answer>11.6 to 5.0</answer>", 0.0, 1),
    (f"{THOUGHT}<answer>5.0s to 11.6s</answer>", 0.0, 1), (f"{THOUGHT}<answer>5.0  to  11.6</answer>", 0.0, 1),
    (f"{THOUGHT}<answer>0 to 100</answer>", 0.051, 1),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "iou", "form"), TIMEZERO)
def test_timezero_as_released(scored: Score, completion: str, iou: float, form: int):
    terms, total = one(scored, completion, "method=timezero", "compat=paper")
    assert terms == {"iou": pytest.approx(iou, abs=1e-6), "format": form}
    assert total == pytest.approx(iou + form, abs=1e-6)


AWARE = [
    ("5.0 to 11.6", 0.7342111), ("5.1 to 10.2", 1.0), ("0 to 30", 0.047974), ("0 to 100", -0.0843778),
    ("20 to 25", 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "tiou"), AWARE)
def test_time_r1_as_released_is_not_clamped_and_ours_is(scored: Score, answer: str, tiou: float):
    completion = f"{THOUGHT}<answer>{answer}</answer>"
    terms, total = one(scored, completion, "method=time_r1", "compat=paper")
    assert terms == {"tiou": pytest.approx(tiou, abs=1e-6), "format": 1} and total == pytest.approx(tiou + 1, abs=1e-6)
    terms, _ = one(scored, completion, "method=time_r1")
    assert terms["tiou"] == pytest.approx(max(0.0, tiou), abs=1e-6)


@pytest.mark.parametrize("method", ["timezero", "time_r1", "temporal_r1", "tempsamp_r1"])
@pytest.mark.parametrize("compat", ["ours", "paper"])
@pytest.mark.parametrize("target", [[[5, 5]], [[6, 3]]])
def test_an_annotation_without_length_scores_zero_and_crashes_nothing(
    scored: Score, method: str, compat: str, target: object
):
    rows = [{"completion": f"{THOUGHT}<answer>{text}</answer>", "target": target, "duration": 30}
            for text in ("5 to 5", "3 to 6", '{"start_time": "3", "end_time": "6"}')]  # fmt: skip
    for row in scored(rows, f"method={method}", f"compat={compat}"):
        assert [value for name, value in row["terms"].items() if name != "format"] == [0.0]  # type: ignore[attr-defined]


TEMPORAL = [
    (f'{THOUGHT}<answer>{{"start_time": "5.0", "end_time": "11.6"}}</answer>', 0.772727, 1, 0.886364),
    ('<answer>{"start_time": "5.0", "end_time": "11.6"}</answer>', 0.772727, 0, 0.386364),
    (f'{THOUGHT}<answer>{{"start_time": "11.6", "end_time": "5.0"}}</answer>', 0.0, 1, 0.5),
    (f'{THOUGHT}<answer>{{"start_time": "20", "end_time": "25"}}</answer>', 0.0, 1, 0.5),
    (f'{THOUGHT}<answer>{{"end_time": "11.6", "start_time": "5.0"}}</answer>', 0.772727, 0, 0.386364),
    (f"{THOUGHT}<answer>5.0 to 11.6</answer>", 0.0, 0, 0.0),
    (f'{THOUGHT}<answer>{{"start_time": 5.0, "end_time": 11.6}}</answer>', 0.772727, 0, 0.386364),
    (f'{THOUGHT}<answer>{{"start_time": "1.2.3", "end_time": "4"}}</answer>', 0.0, 1, 0.5),
    (f'{THOUGHT}<answer>{{"start_time": "5.0", "end_time": "11.6"}}</answer>\n', 0.772727, 0, 0.386364),
]


@pytest.mark.parametrize(("completion", "iou", "form", "total"), TEMPORAL)
def test_temporal_r1_as_released(scored: Score, completion: str, iou: float, form: int, total: float):
    terms, got = one(scored, completion, "method=temporal_r1", "compat=paper")
    assert terms == {"iou": pytest.approx(iou, abs=1e-6), "format": form}
    assert got == pytest.approx(total, abs=1e-6)


TEMPSAMP = [
    ("<answer> 5.00 to 11.60 </answer>", 0.772727, 1), ("5.0 to 11.6", 0.772727, 0),
    ("<answer>1 to 2 or 5.0to11.6</answer><answer>3 to 4</answer>", 0.772727, 1),
    ("<answer>5.0 - 11.6</answer>", 0.772727, 1), ("<answer>1 to 2, then 5-11</answer>", 0.0, 1),
    ("<answer>it is 5.0 until 11.6 .</answer>", 0.772727, 0), ("<answer>1:02 to 1:10</answer>", 0.0, 1),
    ("<answer>11.6 to 5.0</answer>", 0.0, 1), ("<answer>five</answer>", 0.0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "iou", "form"), TEMPSAMP)
def test_tempsamp_r1_as_released(scored: Score, completion: str, iou: float, form: int):
    terms, total = one(scored, completion, "method=tempsamp_r1", "compat=paper", "shape=identity")
    assert terms == {"iou": pytest.approx(iou, abs=1e-6), "format": form}
    assert total == pytest.approx(iou + 0.1 * form, abs=1e-6)


SHAPED = [
    (0.0, 0.086764), (0.2, 0.321546), (0.5, 0.596390), (0.75, 0.770161), (0.8, 0.800000), (0.9, 0.800953),
    (1.0, 0.801823),
]  # fmt: skip


def overlapping(iou: float, **fields: object) -> dict[str, object]:
    """A row whose IoU with 0 to 10 is `iou`."""
    span = f"0 to {10 * iou:g}" if iou else "20 to 25"
    return {"completion": f"<answer> {span} </answer>", "target": [[0, 10]], "duration": 30, **fields}


@pytest.mark.parametrize("compat", ["ours", "paper"])
@pytest.mark.parametrize(("iou", "shaped"), SHAPED)
def test_the_shape_bends_the_iou_alone(scored: Score, iou: float, shaped: float, compat: str):
    (row,) = scored([overlapping(iou)], "method=tempsamp_r1", f"compat={compat}")
    assert row["terms"] == {"iou": pytest.approx(iou, abs=1e-6), "format": 1.0}
    assert row["reward"] == pytest.approx(shaped + 0.1, abs=1e-6)


IOUS = [0.50, 0.55, 0.60, 0.62, 0.65, 0.70, 0.72]
ADVANTAGES = [
    ("shape=identity", False, [-1.5281, -0.8914, -0.2547, 0.0, 0.3820, 1.0187, 1.2734]),
    ("shape=identity", True, [-1.0965, -0.7692, -0.4419, -0.3109, -0.1146, 0.2128, 0.3437, 2.1766]),
    ("shape=log_exp", True, [-1.5399, -0.9603, -0.4089, -0.1960, 0.1155, 0.6144, 0.8071, 1.5680]),
]


@pytest.mark.parametrize(("shape", "injected", "expected"), ADVANTAGES)
def test_advantages_of_a_group_with_its_annotation(scored: Score, shape: str, injected: bool, expected: list[float]):
    rows = [overlapping(iou, group="g") for iou in IOUS]
    rows += [overlapping(1.0, group="g", origin="ground_truth")] * injected
    written = scored(rows, "method=tempsamp_r1", "compat=paper", shape)
    assert [row["advantage"] for row in written] == pytest.approx(expected, abs=6e-5)


def test_estimators_are_an_option(scored: Score):
    rows = [*(overlapping(iou, group="g") for iou in IOUS), overlapping(1.0, group="g", origin="ground_truth")]
    options = ("method=tempsamp_r1", "shape=identity")
    anchored = [row["advantage"] for row in scored(rows, *options, "advantage=anchored")]
    assert anchored == pytest.approx([*ADVANTAGES[0][2], 1.2 * 1.2734], abs=1e-4)
    pruned = scored(rows, *options, "advantage=annotation_as_rollout")
    assert [row["weight"] for row in pruned] == [1, 1, 0, 0, 0, 0, 1, 1]


# Ours


def test_by_default_one_grammar_reads_every_method(scored: Score):
    for method in ("timezero", "temporal_r1", "tempsamp_r1"):
        for text in ("5.0s - 11.6s", "0:05 to 0:11.6", '{"start_time": 5.0, "end_time": 11.6}'):
            completion = f"<think>1 to 2</think><answer>{text}</answer>"
            terms, _ = one(scored, completion, f"method={method}")
            assert terms["iou"] == pytest.approx(0.772727, abs=1e-6), (method, text)


@pytest.mark.parametrize(
    ("answer", "value"),
    [("B", 1), ("(B)", 1), ("B. a blue star", 1), ("b", 1), ("A", 0), ("B or A", 1), ("blue star", 0), ("", 0)],
)
def test_choice_is_the_first_capital_that_stands_alone(scored: Score, answer: str, value: int):
    """The rule of the reward `choice`; nothing is released to compare with. A small letter counts when it is all."""
    fields = {"completion": f"{THOUGHT}<answer>{answer}</answer>", "choice": "B"}
    (row,) = scored([fields], "method=temporal_r1")
    assert row["terms"] == {"choice": value, "format": 0} and row["reward"] == 0.5 * value
    assert row["reason"] == (None if value or answer == "A" else "no_choice")


def test_grounded_questions_earn_both_rewards(scored: Score):
    rows = [{"completion": f"<answer>{text}</answer>", "choice": "B", **TARGET}
            for text in ("B 5.1 to 10.2", "A 5.1 to 10.2", "B 20 to 25", "B")]  # fmt: skip
    written = scored(rows, "method=temporal_r1", "template=temporal_r1_all_tasks")
    assert [(row["terms"]["choice"], row["terms"]["iou"]) for row in written] == [(1, 1), (0, 1), (1, 0), (1, 0)]  # type: ignore[index]
    assert [row["reward"] for row in written] == [1.0, 0.5, 0.5, 0.5]
    text = THOUGHT + '<answer>{"answer": "B", "start_time": "5.1", "end_time": "10.2"}</answer>'
    (row,) = scored([{"completion": text, "choice": "B", **TARGET}], "method=temporal_r1", "compat=paper",
                    "template=temporal_r1_all_tasks")  # fmt: skip
    assert row["terms"] == {"iou": 1, "choice": 1, "format": 1} and row["reward"] == 1.5


def test_of_several_annotated_spans_the_best_counts(scored: Score):
    spans = {"target": [[0, 2], [5.1, 10.2], [20, 30]]}
    for compat in ("ours", "paper"):
        terms, _ = one(scored, f"{THOUGHT}<answer>5.0 to 11.6</answer>", f"compat={compat}", **spans)
        assert terms["iou"] == pytest.approx(0.772727, abs=1e-6)


@pytest.mark.parametrize("compat", ["ours", "paper"])
@pytest.mark.parametrize("reward", ["iou_format", "set_iou_format"])
def test_a_template_that_lists_spans_scores_sets(scored: Score, reward: str, compat: str):
    texts = ("0 to 10", "0 to 10 and 20 to 30", "[[0, 10], [20, 30]]", "20 to 30 and 0 to 10 and 40 to 60")
    rows = [{"completion": f"<answer>{text}</answer>", "target": [[0, 10], [20, 30]], "duration": 60} for text in texts]
    written = scored(rows, "template=spans", f"reward={reward}", f"compat={compat}")
    assert [row["terms"]["iou"] for row in written] == [0.5, 1.0, 1.0, 0.5]  # type: ignore[index]
    assert written[0]["spans"] == [[0, 10]] and written[1]["spans"] == written[2]["spans"] == [[0, 10], [20, 30]]


def test_highlights_may_be_scored_too(scored: Score):
    text = "<answer>The highlight timestamps are in the 82, 84 seconds. Their saliency scores are 2, 4</answer>"
    row = {"completion": text, "highlights": [[82, 2], [84, 4]]}
    (written,) = scored([row], "reward=highlight", "template=tempsamp_highlight")
    assert written["terms"] == {"highlights": 1.0, "format": 1.0}


def test_a_row_says_what_was_read_and_why_not(scored: Score):
    rows = [{"completion": text, **TARGET} for text in ("<answer>5 to 6</answer>", "<think>5 to 6", "no idea")]
    written = scored(rows)
    assert [row["spans"] for row in written] == [[[5.0, 6.0]], [], []]
    assert [row["reason"] for row in written] == [None, "unclosed_think", "no_answer_block"]
    assert [row["line"] for row in written] == [1, 2, 3]
    assert all("advantage" not in row for row in written)


def test_rows_of_a_group_need_not_stand_together_and_come_back_in_order(scored: Score):
    texts = ["5.1 to 10.2", "5 to 6", "0 to 1", "5.1 to 10.2", "9 to 10"]
    rows = [{"completion": f"<answer>{text}</answer>", "group": group, **TARGET}
            for text, group in zip(texts, (1, 2, 1, 2, None), strict=True)]  # fmt: skip
    del rows[4]["group"]
    written = scored(rows)
    assert [row["line"] for row in written] == [1, 2, 3, 4, 5]
    assert [row.get("advantage") for row in written] == pytest.approx(
        [0.7070, -0.7070, -0.7070, 0.7070, None], abs=1e-3
    )
    apart = scored([rows[0], rows[2]])
    assert apart[0]["advantage"] == written[0]["advantage"] and apart[0]["reward"] == written[0]["reward"]


def test_one_survivor_and_equal_rewards_have_no_advantage(scored: Score):
    survivor = overlapping(0.5, group="alone")
    equal = [overlapping(0.5, group="equal"), overlapping(0.5, group="equal")]
    for advantage in ("group_normalized", "anchored", "leave_one_out", "mean_centred"):
        assert [row["advantage"] for row in scored([survivor, *equal], f"advantage={advantage}")] == [0.0] * 3
    assert [row["weight"] for row in scored([survivor, *equal], "gate=minimum_spread")] == [0.0] * 3


def test_an_advantage_sees_all_groups_of_a_step_as_in_training(tmp_path: Path):
    """Groups of one iteration are a step, and so are all groups without one; rows without a group earn nothing."""

    def less_the_best(rewards: list[torch.Tensor], on_policy: list[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
        best = torch.cat(rewards).max()
        return [(rewards_G - best, torch.full_like(rewards_G, float(len(rewards)))) for rewards_G in rewards]

    fields = [
        (0.5, {"group": "a", "iteration": 1}), (0.9, {"group": "b", "iteration": 1}), (0.7, {"group": "c"}),
        (0.3, {"group": "a", "iteration": 1}), (0.8, {"group": "d"}), (1.0, {}), (0.2, {"iteration": 2, "uid": "e"}),
    ]  # fmt: skip
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(overlapping(iou, **said)) + "\n" for iou, said in fields))
    whole = replace(rescorer(), advantage=less_the_best)
    whole.run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["line"] for row in written] == [1, 2, 3, 4, 5, 6, 7]
    expected = [-0.4, 0.0, -0.1, -0.6, 0.0, None, 0.0]
    assert [row.get("advantage") for row in written] == pytest.approx(expected, abs=1e-2)
    assert [row.get("weight") for row in written] == [2.0, 2.0, 2.0, 2.0, 2.0, None, 1.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_the_rollouts_of_a_run_are_valid_input_and_score_as_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    folder = fit("name=a", "method=tempsamp_r1", "template=answer", "iterations=2", "sampling.max_actions=64").folder
    overrides = ("method=tempsamp_r1", "template=answer", "compat=training")
    tally = rescorer(*overrides).run(folder / "rollouts.jsonl", tmp_path / "out.jsonl")
    logged = [json.loads(line) for line in (folder / "rollouts.jsonl").read_text().splitlines()]
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert tally.rows == len(logged) == len(written) == 64 and tally.groups == 8 and tally.injected == 8
    assert not any("highlights" in row for row in logged), "no prompt of the run has any"
    for before, after in zip(logged, written, strict=True):
        assert {name: after[name] for name in ("uid", "text", "spans")} == {
            name: before[name] for name in ("uid", "text", "spans")
        }
        assert after["terms"] == before["terms"] and after["reason"] == before["reason"]
        assert after["reward"] == pytest.approx(before["reward"], abs=1e-6)
        assert after["advantage"] == pytest.approx(before["advantage"], abs=1e-5)


def test_lengths_of_a_run_cost_again_what_they_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    options = ("reward=iou_format_overlong", "injection=ground_truth", "sampling.max_actions=4", "template=answer")
    folder = fit("name=a", *options, "iterations=1").folder
    rescorer(*options).run(folder / "rollouts.jsonl", tmp_path / "out.jsonl")
    logged = [json.loads(line) for line in (folder / "rollouts.jsonl").read_text().splitlines()]
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["terms"] for row in written] == [row["terms"] for row in logged]
    costs = {row["terms"]["overlong"] for row in written}
    assert min(costs) < 0 and {row["length"] for row in logged if row["origin"] != "policy"} == {None}


def test_highlights_of_a_run_are_scored_again(scored: Score):
    options = ("reward=highlight", "template=tempsamp_highlight")
    target = Target(highlights=((82.0, 2.0), (84.0, 4.0)))
    bench = rescorer(*options)
    clip = VideoClip("c", None, torch.zeros(0), 150.0)
    prompt = Prompt("p", "highlight", "rows", clip, "a goal", target, template=bench.template)
    texts = (bench.template.answer(target), "<answer>The highlight timestamps are in the 84 seconds. Scores 3</answer>")
    group = RolloutGroup(prompt, tuple(Rollout(text, torch.zeros(3, dtype=torch.long)) for text in texts))
    scores = bench.reward(group)
    logged = records(1, Credited(group, scores, Earned(torch.zeros(2), torch.ones(2), 1.0)))
    assert all(row["highlights"] == [[82.0, 2.0], [84.0, 4.0]] for row in logged)
    again = scored(logged, *options)
    assert [row["terms"]["highlights"] for row in again] == scores.terms["highlights"].tolist()  # type: ignore[index]
    assert scores.terms["highlights"][0] == 1.0 > scores.terms["highlights"][1] > 0.0


# What goes wrong

BAD = [
    ("{", "not JSON"), ("[" * 100_000, "not JSON"), ("[1]", "a row is a JSON object"),
    ('"\xff'.encode("latin1"), "UTF-8"),
    ('{"target": [[1, 2]]}', "completion must be a string, got null"),
    ('{"completion": 3, "target": [[1, 2]]}', "completion must be a string, got 3"),
    ('{"completion": ""}', "neither target nor choice"), ('{"completion": "", "target": []}', "neither target"),
    ('{"completion": "", "target": [1, 2]}', r"target must be \[\[number, number\]"),
    ('{"completion": "", "target": [[1, 2, 3]]}', "target must be"),
    ('{"completion": "", "target": [["1", "2"]]}', "target must be"),
    ('{"completion": "", "target": [[1, NaN]]}', "target must be"),
    ('{"completion": "", "target": [[1, 1' + "0" * 400 + "]]}", "target must be"),
    ('{"completion": "", "target": [[1, 2]], "duration": 0}', "duration must be a positive number"),
    ('{"completion": "", "target": [[1, 2]], "duration": "30"}', "duration must be a positive number"),
    ('{"completion": "", "target": [[1, 2]], "origin": "me"}', "origin must be one of policy, ground_truth"),
    ('{"completion": "", "choice": 2}', "choice must be a letter"),
    ('{"completion": "", "target": [[1, 2]], "length": 2.5}', "length must be a whole number of actions"),
    ('{"completion": "", "target": [[1, 2]], "length": -1}', "length must be a whole number of actions"),
    ('{"completion": "", "target": [[1, 2]], "truncated": 1}', "truncated must be true or false, got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "problem"), BAD)
def test_a_bad_row_is_named_by_file_and_line_and_nothing_is_written(tmp_path: Path, line: str | bytes, problem: str):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    good = json.dumps({"completion": "x", **TARGET}).encode()
    source.write_bytes(b"\n".join([good, b"", line.encode() if isinstance(line, str) else line, good]))
    with pytest.raises(RowError, match=f"in.jsonl, line 3: (.|\n)*{problem}"):
        rescorer().run(source, output)
    assert not output.exists()


def test_rows_of_a_group_must_agree(scored: Score):
    rows = [overlapping(0.5, group="g"), overlapping(0.5, group="g", duration=31)]
    with pytest.raises(RowError, match=r"line 2: another target, task or duration than .*line 1 of the same group 'g'"):
        scored(rows)


def test_what_a_reward_lacks_is_named_by_file_and_line(scored: Score):
    row = {"completion": "<answer>1 to 2</answer>", "target": [[1, 2]]}
    scored([row], "method=timezero")
    with pytest.raises(RewardError, match=r"in.jsonl, line 1(.|\n)*the duration must be positive, got nan"):
        scored([row], "method=time_r1")
    with pytest.raises(RewardError, match=r"in.jsonl, line 1(.|\n)*must say `length`"):
        scored([row], "reward=iou_format_overlong")
    with pytest.raises(ValueError, match=r"line 1(.|\n)*no term of the rubric"):
        scored([row | {"task": "counting"}], "reward.terms.format=null")


def test_a_reward_that_raises_shows_the_beginning_of_a_long_completion(scored: Score):
    with pytest.raises(RewardError) as caught:
        scored([{"completion": "y" * 1_000_000, "target": [[1, 2]]}], "method=time_r1")
    assert len(str(caught.value)) < 3000 and "(1000000 characters)" in str(caught.value)
    assert len(caught.value.text) == 1_000_000


# Any size, any script


def test_ten_megabytes_and_every_script_are_read_in_seconds(scored: Score):
    """Completions that are long in the ways that make careless readers quadratic."""
    size, answer = 10_000_000, "<answer>5.0 to 11.6</answer>"
    film = "\u60f3\U0001f3ac"
    huge = {
        "method=timezero": [f"<think>{'x' * size}</think>{answer}", f"<think>{film * (size // 7)}</think>{answer}",
                            "<answer>" * (size // 8)],
        "method=tempsamp_r1": ["1" * size, f"<think>{'1 to ' * (size // 5)}</think>{answer}"],
    }  # fmt: skip
    started = time.perf_counter()
    found = []
    for method, texts in huge.items():
        written = scored([{"completion": text, **TARGET} for text in texts], method)
        found += [row["terms"]["iou"] for row in written]  # type: ignore[index]
    assert found == pytest.approx([0.772727, 0.772727, 0.0, 0.0, 0.772727], abs=1e-6)
    assert time.perf_counter() - started < 60


@pytest.mark.parametrize("compat", ["ours", "paper"])
@pytest.mark.parametrize(
    "noise", ["\u2028", "\u0085", "\x0b\x0c\x1c", "\ud800", "\u202e\u0663", "e\u0301\u200b", "\x00", "\U0001f3ac"]
)
def test_separators_surrogates_and_controls_are_text_like_any_other(scored: Score, noise: str, compat: str):
    completion = f"<think>{noise}</think><answer>5.0 to 11.6</answer>"
    (row,) = scored([{"completion": completion, "prompt": noise, **TARGET}], "method=timezero", f"compat={compat}")
    assert row["terms"] == {"iou": pytest.approx(0.772727, abs=1e-6), "format": 1}


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path):
    row = json.dumps({"completion": "<answer>5.0 to 11.6</answer>", **TARGET})
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + f"{row}\r\n\r\n{row}".encode())
    tally = rescorer().run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert tally.rows == 2 and tally.means()["iou"] == (pytest.approx(0.772727, abs=1e-6), 2)


def test_injected_rows_are_in_no_mean():
    scorer, tally = rescorer(), Tally()
    rows = [parse(json.dumps(overlapping(iou, group="g", origin=origin)).encode(), "here")
            for iou, origin in ((0.5, "policy"), (1.0, "Ground_Truth"), (1.0, "demonstration"))]  # fmt: skip
    scorer.score(rows, tally)
    assert [row.origin for row in rows] == [Origin.POLICY, Origin.GROUND_TRUTH, Origin.DEMONSTRATION]
    assert (tally.rows, tally.injected, tally.groups) == (3, 2, 1) and tally.means()["iou"] == (0.5, 1)


# The command line


def test_the_script_writes_rows_and_prints_a_table(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    rows = [{"completion": text, **TARGET} for text in (f"{THOUGHT}<answer>5.0 to 11.6</answer>", "none")]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert script("score", "method=timezero", "compat=paper", "input=x.jsonl", "output=deep/y.jsonl") == 0
    first, second = [json.loads(line) for line in (tmp_path / "deep" / "y.jsonl").read_text().splitlines()]
    assert first["terms"]["iou"] == pytest.approx(0.772727, abs=1e-6) and second["reason"] == "no_answer_block"
    said = capfd.readouterr().out
    assert "2 rows" in said and "iou" in said and "0.3864" in said and "not read: no_answer_block" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "x.jsonl"], "no folder of a run is begun"


def test_the_folder_of_a_run_needs_no_quotes(script: Script, tmp_path: Path):
    run = tmp_path / "runs" / "data=toy,seed=0"
    run.mkdir(parents=True)
    (run / "rollouts.jsonl").write_text(json.dumps({"completion": "<answer>5 to 11</answer>", **TARGET}))
    assert script("score", "input=runs/data=toy,seed=0/rollouts.jsonl", "output=runs/data=toy,seed=0/again.jsonl") == 0
    assert json.loads((run / "again.jsonl").read_text())["spans"] == [[5.0, 11.0]]


def test_the_rollouts_of_a_run_are_read_and_rewarded_as_the_run_did(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Whatever this command's own defaults are; it says so, and takes what is typed first."""
    folder = train(
        [*TOY, "method=tempsamp_r1", "template=spans_think", "reward=set_iou_format", "iterations=1"],
        tmp_path / "runs/a",
    )
    capfd.readouterr()
    assert script("score", "input=runs/a/rollouts.jsonl", "output=y.jsonl") == 0
    said = capfd.readouterr().out
    assert "wording and reward of runs/a, compat=training: AllSpansThink; 1 LogExp(SetIoU) + " in said
    logged, written = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (folder / "rollouts.jsonl", tmp_path / "y.jsonl")
    )
    same = ("uid", "text", "spans", "terms", "reason", "reward")
    assert [[row[name] for name in same] for row in written] == [[row[name] for name in same] for row in logged]
    assert script("score", "run=a", "reward=iou_format", "output=z.jsonl") == 0
    assert "AllSpansThink; 1 LogExp(IoU) + " in capfd.readouterr().out
    assert script("score", "run=gone", "input=y.jsonl", "output=z.jsonl") == 1
    assert "run=gone: there is no such run" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["output=y.jsonl"], "error: say input=<file.jsonl>"), (["input=x.jsonl"], "error: say output=<file.jsonl>"),
        (["input=no.jsonl", "output=y.jsonl"], "error: input=no.jsonl: there is no such file"),
        (["input=x.jsonl", "output=x.jsonl"], "error: output=x.jsonl is the input"),
        (["input=x.jsonl", "output=y.jsonl", "compat=me"], "error: compat must be one of training, ours, paper"),
        (["input=bad.jsonl", "output=y.jsonl"], "error: bad.jsonl, line 1: not JSON in UTF-8"),
        (["input=empty.jsonl", "output=y.jsonl"], "error: input=empty.jsonl holds no rows"),
    ],
)  # fmt: skip
def test_the_script_says_what_is_wrong_in_one_line(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    (tmp_path / "x.jsonl").write_text(json.dumps({"completion": "x", **TARGET}))
    (tmp_path / "bad.jsonl").write_text("{")
    (tmp_path / "empty.jsonl").write_text("\n")
    assert script("score", *arguments) == 1
    said = capfd.readouterr()
    assert message in said.out + said.err and "Traceback" not in said.out + said.err


def test_weights_of_pruned_rows_are_plain_numbers(scored: Score):
    (row, *_) = scored([overlapping(0.5, group="g"), overlapping(0.7, group="g")], "advantage=leave_one_out")
    assert row["advantage"] == pytest.approx(float(torch.tensor(-0.2)), abs=1e-6) and row["weight"] == 1.0
