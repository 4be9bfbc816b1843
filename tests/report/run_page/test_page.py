"""The page of a run, whole, half and empty."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from kairos.core.spans import Span
from kairos.core.types import Prompt, Rollout, Target, VideoClip
from kairos.evaluation.predictions import Prediction, predict, unanswered, write
from kairos.report.browser.signal import ALL_RIGHT, ALL_SAME, ALL_WRONG, DIFFER, signal
from kairos.report.run_page.before_after import before_and_after
from kairos.report.run_page.chosen import chosen
from kairos.report.run_page.curves import curves
from kairos.report.run_page.page import write_report
from kairos.report.run_page.signals import signals
from kairos.runs.read import read_run
from kairos.runs.strips import save_strips


def prompts(count: int) -> list[Prompt]:
    frames = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 3, 16, 24).contiguous() * 12
    return [
        Prompt(
            f"u{i}", "grounding", "test", VideoClip(f"c{i}", frames, torch.arange(20) / 2, 10.0),
            f"When does <b>{i}</b> cost $5 & more?", Target(spans=(Span(2.0, 4.0 + i / 10),)),
        )
        for i in range(count)
    ]  # fmt: skip


def answers(text: str, count: int = 15) -> list[Prediction]:
    return [predict(prompt, Rollout(text, torch.arange(9))) for prompt in prompts(count)]


def log(run: Path, iterations: int = 12) -> None:
    rows = [
        {"iteration": i, "reward/total": i / 10, "reward/iou": i / 12, "rollout/length": 9.0, "policy/entropy": 1 / i}
        for i in range(1, iterations + 1)
    ] + [{"iteration": iterations, "val/miou": 0.4, "val/length": 9.0}]
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def pictures(html: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]


def test_a_whole_run_becomes_one_page_that_fetches_nothing(tmp_path):
    run = tmp_path / "quickstart"
    log(run)
    write(
        [*answers("<answer>1.0 to 9.0</answer>")[:-1], unanswered("u14", "failed: broken")],
        run / "predictions/before.jsonl",
    )
    write(answers("<answer>2.0 to 4.5</answer>"), run / "predictions/after.jsonl")
    save_strips(prompts(15), run / "strips")
    (run / "config.yaml").write_text("shape: <identity>\n")
    (run / "overrides.yaml").write_text("- experiment=quickstart\n- seed=0\n")
    page = write_report(run)
    html = page.read_text()
    assert page == run / "report.html" and "experiment=quickstart  seed=0" in html
    assert html.count("<table") == 3, "scores, answers, reasons"
    assert "mIoU" in html and "R1@0.5" in html and "constant [" in html and "failed" in html
    assert "shape: &lt;identity&gt;" in html and "<b>3</b>" not in html, "what a run says is shown, never run"
    assert not re.findall(r'(?:src|href)="(?!data:)', html) and "<script" not in html
    found = pictures(html)
    assert len(found) == 7 and all(data.startswith(b"\x89PNG") for data in found)
    assert {path.stem for path in (run / "figures").glob("*.png")} == {
        "entropy", "intervals", "length", "reward", "terms", "timeline", "validation",
    }  # fmt: skip


def test_a_report_is_rebuilt_without_the_strips_or_after_predictions(tmp_path):
    log(tmp_path / "half")
    write(answers("<answer>1.0 to 9.0</answer>"), tmp_path / "half/predictions/before.jsonl")
    html = write_report(tmp_path / "half").read_text()
    assert (tmp_path / "half/figures/timeline.png").is_file(), "spans are drawn without frames"
    assert "No predictions yet" not in html


def test_an_empty_run_says_what_is_missing(tmp_path):
    html = write_report(tmp_path).read_text()
    assert "No predictions yet" in html and "No iterations yet" in html
    assert pictures(html) == []


def test_whether_there_was_something_to_learn_is_drawn_with_the_clip_fraction_and_counters_stand_at_zero(tmp_path):
    names = ("reward/no_spread", "policy/kl_start", "objective/kl", "policy/surprise", "policy/clip_fraction")
    rows = [{"iteration": i, **dict.fromkeys(names, 0.0), "time/iteration": 2.0 + i} for i in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = read_run(tmp_path)
    figures = curves(run.metrics, run.displays)
    axes = {name: figures[name].axes[0] for name in ("no_spread", "kl", "entropy", "clip_fraction", "seconds")}
    assert [axis.get_title(loc="left") for axis in axes.values()] == [
        "Groups without spread", "KL to the start", "Entropy, of sampled actions", "Clip fraction",
        "Seconds an iteration",
    ]  # fmt: skip
    seconds = axes.pop("seconds")
    assert all(axis.get_ylim() == (0.0, 1.0) for axis in axes.values()), "0 stands on the ground, not in the middle"
    assert seconds.get_ylim()[0] == 0.0 and seconds.get_ylim()[1] > 5.0


def test_the_head_says_what_was_run(tmp_path):
    log(tmp_path)
    config = {
        "policy": {"weights": "mini_base"}, "seed": 3, "data": {"train": {"records": {"_target_": "a.b.Mine"}}},
        "trainer": {"accelerator": "auto"},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "versions.txt").write_text("revision  0123456789abcdef\nGPU   none\nCPU   2 cores, 2 threads\n")
    (tmp_path / "summary.json").write_text('{"seconds": 90}')

    def head(*overrides: str) -> dict[str, str]:
        (tmp_path / "overrides.yaml").write_text("".join(f"- {override}\n" for override in overrides))
        return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", write_report(tmp_path).read_text()))

    assert head("shape=log_exp") == {
        "model": "mini_base", "data": "mini", "method": "timezero", "iterations": "12", "minutes": "1.5",
        "device": "2 cores", "commit": "0123456789", "seed": "3",
    }  # fmt: skip
    own = head("method=time_r1", "experiment=mine")
    assert own["data"] == "Mine" and own["method"] == "time_r1" and own["experiment"] == "mine"
    written = head("experiment=mini_base_loose")
    assert written["data"] == "mini_pretrain" and written["method"] == "sft", "as the experiment it builds on says"
    cards = "kairos commit  fedcba9876543210\nGPU 0   H9, 9 GiB\nGPU 1   H9, 9 GiB\nCPU   2 cores, 2 threads\n"
    (tmp_path / "versions.txt").write_text(cards)
    found = head()
    assert found["device"] == "2 x H9, 9 GiB" and found["commit"] == "fedcba9876"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | {"trainer": {"accelerator": "cpu"}}))
    assert head()["device"] == "2 cores"


def test_the_most_improved_the_worst_and_some_at_random_are_shown():
    before = [replace(row, iou=0.5) for row in answers("<answer>1.0 to 9.0</answer>", 12)]
    after = [replace(row, iou=0.5 + (number - 6) / 20) for number, row in enumerate(before)]
    found = chosen(before, after)
    assert [uid for uid, why in found.items() if why == "most improved"] == ["u11", "u10"]
    assert [uid for uid, why in found.items() if why == "worst"] == ["u0", "u1"] and len(found) == 6
    assert chosen(before, after) == found, "the same ones again"
    assert set(chosen(before, []).values()) == {"worst", "at random"} and chosen([], []) == {}
    assert list(chosen(before, [replace(row, iou=0.4) for row in before]).values()).count("most improved") == 0


def test_a_run_of_choices_only_has_chance_and_its_answers_in_time(tmp_path):
    clip = VideoClip("c", None, torch.arange(4) / 2, 2.0)
    asked = [
        Prompt(f"q{i}", "choice", "toy", clip, "Which?", Target(choice="A"), ("x", "y", "z", "w")) for i in range(8)
    ]
    write(
        [predict(prompt, Rollout("<answer>A</answer>", None)) for prompt in asked], tmp_path / "predictions/after.jsonl"
    )
    html = write_report(tmp_path).read_text()
    assert "accuracy" in html and "0.250 <small>chance" in html and (tmp_path / "figures/timeline.png").exists()


def test_a_cut_last_line_is_named_and_the_rest_is_shown(tmp_path):
    log(tmp_path, iterations=3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 4, "rew')
    html = write_report(tmp_path).read_text()
    assert "metrics.jsonl: line 5 is not a JSON object" in html and "<dt>iterations</dt><dd>3</dd>" in html


def test_why_groups_taught_nothing_is_drawn_and_a_broken_line_of_rollouts_is_counted(tmp_path):
    def group(iteration: int, uid: str, rewards: list[float], **more: object) -> list[dict[str, object]]:
        return [
            {"iteration": iteration, "uid": uid, "row": row, "reward": reward, "origin": "policy", **more}
            for row, reward in enumerate(rewards)
        ]

    true, near, far = [[1.0, 3.0]], [[1.0, 2.5]], [[7.0, 9.0]]
    groups = [
        group(1, "a", [0.5, 1.0], target=true, spans=near),
        group(1, "b", [1.0, 1.0], target=true, spans=near),
        group(1, "c", [0.0, 0.0], target=true, spans=far),
        group(2, "d", [0.2, 0.2], target=true, spans=[[2.5, 4.0]]),
        group(2, "e", [1.0, 1.0], choice="B", letter="B"),
        group(2, "f", [0.0, 0.0], choice="B", letter=None),
        group(2, "g", [1.0, 1.0], target=true, spans=true, choice="B", letter="A"),
        group(2, "h", [1.0], origin="ground_truth"),
    ]
    kinds = [signal(rows) for rows in groups]
    assert kinds == [DIFFER, ALL_RIGHT, ALL_WRONG, ALL_SAME, ALL_RIGHT, ALL_WRONG, ALL_WRONG, ""]
    rows = [row for each in groups for row in each]
    (tmp_path / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"cut')
    assert "15 rollouts of 2 iterations. 1 broken lines were left out." in write_report(tmp_path).read_text()
    figure = signals(groups)
    assert figure is not None and (tmp_path / "figures" / "signal.png").exists()
    heights = {bars.get_label(): [round(bar.get_height(), 3) for bar in bars] for bars in figure.axes[0].containers}
    assert heights[DIFFER] == [0.333, 0.0] and heights[ALL_WRONG] == [0.333, 0.5]


def test_a_reason_that_did_not_occur_counts_as_zero(tmp_path):
    rows = [{"iteration": i, "parse/failures": 0.25 * (i == 2), "reward/total": 0.5} for i in (1, 2, 3)]
    rows[1]["parse/no_pair"] = 1.0
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    series = read_run(tmp_path).metrics["parse/no_pair"]
    assert (series.at, series.values) == ((1, 2, 3), (0.0, 1.0, 0.0))
    write_report(tmp_path)
    assert (tmp_path / "figures" / "parse.png").exists(), "what moves is drawn"


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        write_report(tmp_path / "nowhere")


def test_the_change_is_paired_by_prompt_whatever_the_order():
    before, after = answers("<answer>1.0 to 9.0</answer>"), answers("<answer>2.0 to 4.5</answer>")
    (miou,) = [line for line in before_and_after(before, after[::-1]) if line.name == "miou"]
    differences = [b.iou - a.iou for a, b in zip(before, after, strict=True)]  # type: ignore[operator]
    assert miou.change is not None and miou.change.mean == pytest.approx(sum(differences) / 15)
    assert miou.n == 15 and miou.floor is not None and miou.floor > 0.5
    assert all(line.change is None for line in before_and_after(before[1:], after)), "other prompts are no pairs"


def test_failed_prompts_of_an_unknown_task_have_a_line_of_their_own_beside_several_tasks():
    rows = answers("<answer>2.0 to 4.5</answer>")
    other = [
        replace(row, uid=f"q{i}", task="choice", iou=None, correct=True, target_spans=()) for i, row in enumerate(rows)
    ]
    lost = unanswered("lost", "failed: broken")
    several = before_and_after([], [*rows, *other, lost])
    assert [(line.name, line.n) for line in several if line.task == "unknown"] == [("parse_failures", 1)]
    (miou,) = [line for line in before_and_after([], [*rows, lost]) if line.name == "miou"]
    assert miou.n == 16, "beside a single task it is one of its prompts"
