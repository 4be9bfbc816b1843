"""A sweep's jobs on one page, seeds together: means, intervals, paired differences, and what differs."""

from __future__ import annotations

import csv
import json
import re
import threading
import time
from pathlib import Path

import pytest
import yaml

from kairos.core.spans import Span
from kairos.evaluation.bootstrap import interval, paired
from kairos.evaluation.predictions import Prediction, write
from kairos.report.comparison import page as comparison
from kairos.report.comparison.groups import config_difference, grouped, without_seed
from kairos.report.comparison.page import draw_sweep, jobs_of, write_comparison
from kairos.report.comparison.picture import compare
from kairos.report.comparison.standings import over_seeds, standings
from kairos.runs.read import Run, read_run


def job(folder: Path, reward: float, iterations: int = 20) -> Path:
    folder.mkdir(parents=True)
    rows = [{"iteration": i, "reward/total": reward + (i > 18), "reward/iou": 0.5} for i in range(1, iterations + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def finished(folder: Path, shape: str, seed: int, ious: list[float], **more: object) -> Path:
    """A job as training leaves it: its configuration, a summary and the predictions after."""
    job(folder, 0.5)
    part = {"_target_": f"kairos.credit.shapes.{shape}"}
    config = {
        "shape": part, "seed": seed, "folder": str(folder), "name": None, "iterations": 20,
        "module": {"reward": {"terms": {"iou": {"shape": part}}}, "seed": seed},
        "callbacks": {"log": {"folder": str(folder)}}, "policy": {"weights": f"runs/base/seed={seed}"}, **more,
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(["data=toy", f"shape={shape}", f"seed={seed}"]))
    (folder / "summary.json").write_text(json.dumps({"seconds": 3.0}))
    write([prediction(f"u{i}", iou) for i, iou in enumerate(ious)], folder / "predictions" / "after.jsonl")
    return folder


def prediction(uid: str, iou: float) -> Prediction:
    made = {
        "uid": uid, "task": "grounding", "source": "test", "question": "?", "text": "", "spans": (Span(0.0, 1.0),),
        "choice": None, "reason": None, "target_spans": (Span(0.0, 1.0),), "target_choice": None, "options": 0,
        "duration": 10.0, "length": 4, "truncated": False, "iou": iou, "correct": None, "answered": True,
    }  # fmt: skip
    return Prediction(**{name: value for name, value in made.items() if name in Prediction.__dataclass_fields__})


def test_jobs_that_differ_in_their_seed_share_a_row(tmp_path):
    for name, reward in (("identity", 0.25), ("log_exp", 4.0)):
        for seed in (0, 1):
            job(tmp_path / f"seed={seed},shape={name}", reward + seed)
    page = write_comparison(jobs_of(tmp_path), tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    rows = (tmp_path / "report.md").read_text().splitlines()[4:6]
    assert [row.split(" | ")[:2] for row in rows] == [["| shape=identity", "2"], ["| shape=log_exp", "2"]]
    assert "1.750 [" in rows[0] and "5.500 [" in rows[1], "the mean over both seeds at the end, not over the whole run"
    assert "(Δ +3.750 [+3.750, +3.750])" in rows[1] and "Δ" not in rows[0]
    assert "0 of 4 runs finished" in page.read_text()


def test_intervals_are_students_over_seeds_and_differences_are_paired_by_seed(tmp_path):
    base = [[0.2, 0.4], [0.4, 0.6], [0.1, 0.1]]
    for seed, ious in enumerate(base):
        finished(tmp_path / f"seed={seed},shape=A", "A", seed, ious)
        finished(tmp_path / f"seed={seed},shape=B", "B", seed, [iou + 0.1 + seed / 100 for iou in ious])
    write_comparison(jobs_of(tmp_path), tmp_path)
    with (tmp_path / "report.csv").open() as file:
        rows = {(row["group"], row["score"]): row for row in csv.DictReader(file)}
    mine, other = rows["shape=A", "mIoU"], rows["shape=B", "mIoU"]
    assert mine["runs"] == "3" and mine["over"] == "seeds" and mine["change"] == ""
    assert float(mine["mean"]) == pytest.approx(0.3)
    assert float(mine["low"]) == pytest.approx(0.3 - 4.302653 * 0.2 / 3**0.5, abs=1e-5)
    assert float(other["change"]) == pytest.approx(0.11) and other["change_over"] == "seeds"
    assert float(other["change_high"]) == pytest.approx(0.11 + 4.302653 * 0.01 / 3**0.5, abs=1e-5)


def test_one_seed_has_intervals_over_prompts(tmp_path):
    before, after = [0.2, 0.4, 0.9, 0.1], [0.3, 0.4, 0.8, 0.5]
    runs = [finished(tmp_path / "a", "A", 0, before), finished(tmp_path / "b", "B", 0, after)]
    rows = [row for row in standings(grouped([read_run(run) for run in runs])) if row.name == "miou"]
    assert [row.over for row in rows] == ["prompts", "prompts"]
    assert rows[1].change == paired(before, after) and rows[1].change_over == "prompts"
    (row,) = [r for r in standings(grouped([read_run(r) for r in runs]), "b") if r.name == "miou" and r.group == "a"]
    assert row.change is not None and row.change.mean == pytest.approx(-0.1)
    with pytest.raises(ValueError, match="baseline=c is no group of these runs; there are a, b"):
        standings(grouped([read_run(run) for run in runs]), "c")


def test_seeds_of_an_untrained_model_have_intervals_over_prompts(tmp_path):
    same, better = [0.2, 0.4, 0.9, 0.1], [0.3, 0.5, 0.8, 0.5]
    runs = [finished(tmp_path / f"seed={s},shape=A", "A", s, same) for s in (0, 1)]
    runs += [finished(tmp_path / f"seed={s},shape=B", "B", s, better) for s in (0, 1)]
    rows = [row for row in standings(grouped([read_run(run) for run in runs])) if row.name == "miou"]
    assert [(row.runs, row.over, row.value) for row in rows] == [
        (2, "prompts", interval(same)), (2, "prompts", interval(better)),
    ]  # fmt: skip
    assert rows[1].change == paired(same, better) and rows[1].change_over == "prompts"


def test_unfinished_runs_count_only_where_none_has_finished(tmp_path):
    runs = [finished(tmp_path / f"seed={s},shape=A", "A", s, [float(s)]) for s in (0, 1)]
    (runs[1] / "summary.json").unlink()
    (row,) = [row for row in standings(grouped([read_run(run) for run in runs])) if row.name == "miou"]
    assert row.runs == 1 and row.value.mean == 0.0


def rewarded(folder: Path, name: str, shape: str, logged: dict[str, float], reward: object = None) -> Path:
    """A finished job with a configured reward and logged rewards."""
    terms = {
        "iou": {"term": {"_target_": "IoU"}, "weight": 1.0, "shape": {"_target_": shape}},
        "format": {"weight": 1.0},
    }
    run = finished(folder / name, shape, 0, [0.5], reward=reward or {"terms": terms}, module={})
    rows = [{"iteration": i, **{f"reward/{term}": value for term, value in logged.items()}} for i in range(1, 21)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def test_totals_of_different_rewards_are_never_compared(tmp_path: Path):
    plain = rewarded(tmp_path, "plain", "Identity", {"total": 1.0, "iou": 0.5, "format": 0.5, "spread": 0.1})
    shaped = rewarded(tmp_path, "shaped", "LogExp", {"total": 1.5, "iou": 0.4, "format": 0.5, "spread": 0.1})
    other = {"terms": {"iou": {"term": {"_target_": "GIoU"}, "weight": 1.0}, "format": {"weight": 0.5}}}
    another = rewarded(tmp_path, "another", "Identity", {"total": 9.0, "iou": 0.9, "format": 0.5}, other)

    def training(*runs: Path) -> list[str]:
        rows = standings(grouped([read_run(run) for run in runs]))
        return list(dict.fromkeys(row.name for row in rows if row.task.startswith("training")))

    assert training(plain) == ["reward/total"]
    assert training(plain, shaped) == ["reward/iou", "reward/format"], "raw terms, whatever shape they are given"
    assert training(plain, another) == ["reward/format"], "an IoU of another kind is another thing"
    page = write_comparison([plain, shaped], tmp_path / "report").read_text()
    assert "total</th>" not in page and "reward iou" in page


def test_scores_on_other_prompts_have_no_difference(tmp_path: Path):
    runs = [finished(tmp_path / f"seed={s},shape=A", "A", s, [0.1, 0.3]) for s in (0, 1)]
    runs += [finished(tmp_path / f"seed={s},shape=B", "B", s, [0.2, 0.5, 0.9]) for s in (0, 1)]
    rows = [row for row in standings(grouped([read_run(run) for run in runs])) if row.name == "miou"]
    assert [(row.prompts, row.change, row.change_over) for row in rows] == [(2, None, ""), (3, None, "other prompts")]
    page = write_comparison(runs, tmp_path / "report").read_text()
    assert "n = 2" in page and "n = 3" in page and "other prompts" in page


def test_runs_that_validate_on_other_prompts_are_not_compared_by_their_validation(tmp_path: Path):
    def run(name: str, shape: str, count: int = 64, template: str = "Answer", **records: object) -> Path:
        data = {"val": {"records": {"_target_": "Mine", "clips": 9, **records}, "template": {"_target_": template}}}
        callbacks = {"validation": {"count": count}}
        found = finished(tmp_path / name, shape, 0, [0.5], data=data, callbacks=callbacks)
        with (found / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"iteration": 20, "val/miou": 0.5}) + "\n")
        return found

    def compared(*runs: Path) -> bool:
        return any(row.name == "val/miou" for row in standings(grouped([read_run(each) for each in runs])))

    first = run("first", "A")
    assert compared(first, run("reworded", "B", template="Think"))
    assert not compared(first, run("fewer", "B", count=16))
    assert not compared(first, run("others", "B", clips=8))


def test_groups_are_made_by_configuration_and_not_by_name(tmp_path):
    first = finished(tmp_path / "quick", "A", 0, [0.1])
    again = finished(tmp_path / "quick-seed1", "A", 1, [0.1])
    other = finished(tmp_path / "other", "B", 1, [0.1])
    longer = finished(tmp_path / "longer", "A", 2, [0.1], iterations=40)
    groups = grouped([read_run(run) for run in (first, again, other, longer)])
    assert [(group.name, list(group.runs)) for group in groups] == [
        ("quick", ["0", "1"]), ("other", ["1"]), ("longer", ["2"]),
    ]  # fmt: skip
    assert config_difference(groups) == {
        "shape._target_": ["kairos.credit.shapes.A", "kairos.credit.shapes.B", "kairos.credit.shapes.A"],
        "iterations": [20, 20, 40],
    }, "once each, and not again where the module refers to it"
    page = write_comparison([first, other], tmp_path / "report").read_text()
    assert re.search(r"shape\._target_</td><td class=\"text\">A</td><td class=\"text\">B<", page)
    assert 'href="../quick' not in page, "these runs have no pages of their own"


def test_a_job_that_failed_before_it_began_is_named(tmp_path):
    job(tmp_path / "seed=0", 0.5)
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "log.txt").write_text("error: no such thing\n")
    assert "<td>seed=1</td><td>failed before it began</td>" in write_comparison(jobs_of(tmp_path), tmp_path).read_text()


def test_only_the_last_tenth_counts(tmp_path):
    run = read_run(job(tmp_path / "a", 0.0))
    assert run.metrics["reward/total"].last_tenth(run.iterations) == [1.0, 1.0]
    assert read_run(job(tmp_path / "b", 0.5, iterations=1)).metrics["reward/total"].last_tenth(1) == [0.5]


def test_a_seed_is_taken_out_of_a_name_wherever_it_stands():
    assert [without_seed(n) for n in ("lr=1,seed=3,x=a", "x=a,seed=3", "seed=3", "preseed=3,x=a")] == [
        "lr=1,x=a", "x=a", "all seeds", "preseed=3,x=a",
    ]  # fmt: skip


def test_students_interval_is_the_tables():
    for degrees, quantile in ((1, 12.7062), (2, 4.3027), (4, 2.7764), (9, 2.2622)):
        values = [0.0, 1.0] * 5
        found = over_seeds(values[: degrees + 1])
        data = values[: degrees + 1]
        mean = sum(data) / len(data)
        deviation = (sum((v - mean) ** 2 for v in data) / degrees) ** 0.5
        assert found.high - mean == pytest.approx(quantile * deviation / len(data) ** 0.5, rel=1e-4)


def test_runs_without_an_iteration_cannot_be_compared(tmp_path):
    with pytest.raises(ValueError, match="none of 1 runs has logged an iteration"):
        compare([Run(tmp_path, {})], tmp_path / "curves.png")
    with pytest.raises(ValueError, match="no such folder"):
        jobs_of(tmp_path / "nowhere")


def test_of_jobs_that_end_side_by_side_the_last_draws_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has read the folders, and is slow to draw them; meanwhile the second ends."""
    finished(tmp_path / "seed=0", "Identity", 0, [0.1, 0.2])
    second = finished(tmp_path / "seed=1", "Identity", 1, [0.1, 0.3])
    (second / "summary.json").rename(tmp_path / "later.json")
    read, real = threading.Event(), comparison.compare

    def slow(*given: object) -> Path:
        if not read.is_set():
            read.set()
            time.sleep(1.0)
        return real(*given)

    monkeypatch.setattr(comparison, "compare", slow)
    first = threading.Thread(target=draw_sweep, args=(tmp_path,))
    first.start()
    assert read.wait(30)
    (tmp_path / "later.json").rename(second / "summary.json")
    draw_sweep(tmp_path)
    first.join()
    assert "2 of 2 runs finished" in (tmp_path / "report.html").read_text()
