"""scripts/train.py: new, begun, finished, replaced and swept runs, and what it says when it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.running import curve, rows
from helpers.scripting import Script

from kairos.cli import UserError

TOY = [
    "policy=toy",
    "data=toy",
    "template=answer",
    "trainer=cpu",
    "prompts=4",
    "iterations=2",
    "callbacks.progress=null",
]


def test_a_run_leaves_one_folder_and_nothing_beside_it(script: Script, tmp_path: Path):
    assert script("train", *TOY, "name=a") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["runs"], "no train.log, no outputs/"
    assert {
        "config.yaml", "overrides.yaml", "versions.txt", "template.yaml", "metrics.jsonl", "rollouts.jsonl",
        "checkpoints", "summary.json", "report.html",
    } <= {path.name for path in (tmp_path / "runs" / "a").iterdir()}  # fmt: skip
    assert not list(tmp_path.rglob("*.unfinished"))


def test_without_a_name_the_same_overrides_are_the_same_folder(script: Script, tmp_path: Path):
    assert script("train", *TOY, "seed=3") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"timezero-toy-[0-9a-f]{6}", folder.name)
    assert script("train", "seed=3", *reversed(TOY)) == 1, "it is finished"


def test_a_finished_run_is_refused_replaced_or_continued(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    run = tmp_path / "runs" / "a"
    assert script("train", *TOY, "name=a") == 0
    (run / "mark").touch()
    assert script("train", *TOY, "name=a") == 1
    said = capfd.readouterr().err
    assert "error: runs/a is finished; say overwrite=true to replace it, run=runs/a iterations=N to go on" in said
    assert "Traceback" not in said
    assert script("train", "run=runs/a") == 1
    assert "runs/a is finished; say iterations=N with more than its 2" in capfd.readouterr().err
    assert script("train", "run=runs/a", "iterations=4", "workers=1") == 0
    assert "continuing runs/a from iteration-000002.ckpt" in capfd.readouterr().out
    assert [row["iteration"] for row in rows(run / "metrics.jsonl")] == [1, 2, 3, 4]
    assert json.loads((run / "summary.json").read_text())["iterations"] == 4
    assert (run / "mark").exists()
    assert script("train", *TOY, "name=a", "overwrite=true") == 0
    assert not (run / "mark").exists() and len(rows(run / "metrics.jsonl")) == 2
    assert script("train", "run=runs/a", "iterations=3") == 0, "the run was begun with overwrite=true"
    assert len(rows(run / "metrics.jsonl")) == 3


def test_a_change_of_the_method_is_refused_with_a_difference(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert script("train", *TOY, "name=a") == 0
    change = ["run=runs/a", "iterations=3", "shape=power", "optimizer.learning_rate=0.5"]
    assert script("train", *change) == 1
    said = capfd.readouterr().err
    assert "was begun with another configuration" in said and "Traceback" not in said
    assert "module.optimizer.learning_rate: 1e-06 -> 0.5" in said
    assert "kairos.credit.shapes.Identity' -> 'kairos.credit.shapes.Power'" in said
    assert "say allow_changes=true" in said and "iterations:" not in said
    assert (tmp_path / "runs" / "a" / "summary.json").exists(), "a refusal changes nothing"
    assert script("train", *change, "allow_changes=true") == 0
    assert curve(tmp_path / "runs" / "a", "learn/rate") == [1e-06, 1e-06, 0.5]


def test_a_folder_that_is_no_run_is_neither_continued_nor_removed(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "runs" / "thesis").mkdir(parents=True)
    (tmp_path / "runs" / "thesis" / "chapter.tex").write_text("years of work")
    assert script("train", "run=runs/thesis") == 1
    assert "run=runs/thesis holds no run to continue" in capfd.readouterr().err
    assert script("train", *TOY, "name=thesis", "overwrite=true") == 1
    assert "runs/thesis is not the folder of a run" in capfd.readouterr().err
    assert (tmp_path / "runs" / "thesis" / "chapter.tex").read_text() == "years of work"


def test_weights_alone_cannot_be_continued_but_started_from(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert script("train", *TOY, "name=a", "callbacks.checkpoint.weights_only=true") == 0
    assert script("train", "run=runs/a", "iterations=4") == 1
    assert "holds weights only" in capfd.readouterr().err


def test_errors_of_ours_are_one_line_and_others_keep_their_trace(script: Script, capfd: pytest.CaptureFixture[str]):
    assert script("train", *TOY, "name=a", "prompts=99") == 1
    said = capfd.readouterr().err
    assert "error: 16 prompts are fewer than one step of 99" in said and "Traceback" not in said
    assert script("train", *TOY, "name=b", "gate._target_=kairos.credit.gates.lacking") == 1
    assert "Error locating target" in capfd.readouterr().err
    assert script("train", *TOY, "name=c", "callbacks.log.rollouts_every=often") == 1
    assert "callbacks.log.rollouts_every must be a whole number" in capfd.readouterr().err


MINE = """
import torch

class Reward:
    def __init__(self, scale=1.0):
        if scale < 0:
            raise RuntimeError("a scale below nothing")

    def __call__(self, group):
        return torch.tensor([row.lenght for row in group.rollouts])

class Shape:
    def __call__(self, values_G):
        return values_G["best"]
"""


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("reward.terms.iou.term._target_=of_mine.Reward", "error: reward term 'iou' failed on prompt 'toy/.*"
         "AttributeError: 'Rollout' object has no attribute 'lenght'(.|\n)*"
         "raised in of_mine.Reward.__call__ .*of_mine.py, line 10"),
        ("+reward.terms.iou.term={_target_: of_mine.Reward, scale: -1}",
         "error: of_mine.Reward.__init__ .*of_mine.py, line 7.: RuntimeError: a scale below nothing"),
        ("shape={_target_: of_mine.Shape}", "error: the shape Shape of reward term 'iou' failed on prompt 'toy/.*"
         "IndexError: (.|\n)*raised in of_mine.Shape.__call__ .*of_mine.py, line 14"),
        ("gate._target_=of_mine.Gate", "error: .*gate: of_mine.Gate: ModuleNotFoundError: No module named 'of_mine"),
        ("gate._target_=mine_of.Gate", "error: .*gate: mine_of.Gate: ModuleNotFoundError: No module named 'mine_of'"),
        ("reward.terms.iou.term._target_=decimal.Decimal", "error: reward term 'iou' failed on prompt"),
    ],
)  # fmt: skip
def test_an_error_in_a_part_of_the_users_names_the_part_and_hides_its_trace(
    override: str, told: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "of_mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    monkeypatch.delitem(sys.modules, "of_mine", raising=False)
    assert script("train", *TOY, "name=a", override) == 1
    said = capfd.readouterr().err
    assert re.search(told, said), said
    assert "HYDRA_FULL_ERROR=1 for a complete stack trace" in said and "Traceback" not in said
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError):
        script("train", *TOY, "name=b", override)


def test_a_run_names_the_folders_of_the_parts_that_it_began_with(repository: Path, tmp_path: Path):
    """They are named and never taken: a folder may be a stranger's."""
    (tmp_path / "mine" / "conf" / "shape").mkdir(parents=True)
    (tmp_path / "mine" / "halved.py").write_text("def halved(values_G):\n    return values_G / 2\n")
    (tmp_path / "mine" / "conf" / "shape" / "halved.yaml").write_text(
        "_target_: hydra.utils.get_method\npath: halved.halved\n"
    )

    def run(name: str, *arguments: str, path: str = "mine") -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": f"{repository / 'src'}{os.pathsep}{path}", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(repository / "scripts" / f"{name}.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    begun = run("train", "--config-dir", "mine/conf", *TOY, "shape=halved", "name=a")
    assert begun.returncode == 0, begun.stderr[-3000:]
    place = f"{tmp_path / 'mine'} --config-dir {tmp_path / 'mine' / 'conf'}"
    for name, more in (("train", ["iterations=3"]), ("evaluate", ["count=2"])):
        done = run(name, "run=runs/a", *more, path="")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert f"began with parts of your own; give their place again: PYTHONPATH={place}" in done.stderr
        done = run(name, "--config-dir", "mine/conf", "run=runs/a", *more, path="")
        assert done.returncode == 1
        assert f"give their place again: PYTHONPATH={tmp_path / 'mine'}\n" in done.stderr
        done = run(name, "--config-dir", "mine/conf", "run=runs/a", *more)
        assert done.returncode == 0, done.stderr[-3000:]


def test_a_run_that_would_not_fit_is_tried_again_as_advised(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """The advice changes what is done about memory, and no method: the folder is the same, and may go on."""
    run = tmp_path / "runs" / "a"
    assert script("train", *TOY, "name=a") == 0
    assert script("train", "run=runs/a", "iterations=3", "memory_check=warn", "memory_gib=80") == 0, capfd.readouterr()
    (run / "summary.json").unlink()
    assert script("train", *TOY, "name=a", "iterations=4", "memory_check=off") == 0, capfd.readouterr()
    assert len(rows(run / "metrics.jsonl")) == 4


def test_a_sweep_has_a_folder_a_job_and_one_picture(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    sweep = ["-m", *TOY, "shape=identity,log_exp", "seed=0,1"]
    assert script("train", *sweep) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"sweep-seed-shape-toy-[0-9a-f]{6}", folder.name)
    jobs = sorted(path for path in folder.iterdir() if path.is_dir())
    assert len(jobs) == 4
    for shape in ("identity", "log_exp"):
        for seed in (0, 1):
            (job,) = [j for j in jobs if re.fullmatch(rf"{shape}-seed{seed}-[0-9a-f]{{6}}", j.name)]
            assert len(rows(job / "metrics.jsonl")) == 2 and (job / "report.html").exists()
    assert (folder / "curves.png").stat().st_size > 10_000
    assert "shape=log_exp | 2 |" in (folder / "report.md").read_text()
    assert "4 of 4 runs finished" in (folder / "report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    before = {job.name: (job / "metrics.jsonl").stat().st_mtime_ns for job in jobs}
    capfd.readouterr()
    assert script("train", *sweep) == 0
    assert capfd.readouterr().out.count("is finished: skipped") == 4
    assert before == {job.name: (job / "metrics.jsonl").stat().st_mtime_ns for job in jobs}


def test_failing_jobs_end_neither_the_sweep_nor_its_page_and_each_says_why(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Numbers are no rewards, and crash as a user's own may."""
    terms = "reward.terms.iou.term._target_=decimal.Decimal,kairos.credit.rewards.grounding.IoU,fractions.Fraction"
    assert script("train", "-m", *TOY, terms, "name=mine") == 1
    said = capfd.readouterr().err
    assert said.count("error: reward term 'iou' failed") == 3, "each of two crashes, and by Hydra the first again"
    assert "'Fraction' object is not callable" in said.split("\n#2 ")[1] and "#1 " not in said
    assert "Traceback" not in said
    folder = tmp_path / "runs" / "mine"
    (done,) = folder.glob("*/summary.json")
    assert "grounding.IoU" in done.parent.name and (folder / "curves.png").exists()
    assert "1 of 3 runs finished" in (folder / "report.html").read_text()


def test_a_sweep_of_which_every_job_fails_says_so_of_each(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert script("train", "-m", *TOY[:4], *TOY[5:], "prompts=98,99", "name=mine") == 1
    said = capfd.readouterr()
    assert said.out.count("no comparison:") == 2
    assert "fewer than one step of 98" in said.err and "fewer than one step of 99" in said.err
    assert "Traceback" not in said.err
    assert len(list((tmp_path / "runs" / "mine").glob("*/config.yaml"))) == 2, "both are there to be mended"


def test_another_wording_than_the_weights_were_trained_with_is_said(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    from kairos.runs.folder import reworded

    assert script("train", *TOY, "name=a") == 0
    trained = {"template": "answer", "grounding": "When do you see {question}? Write <answer>start to end</answer>."}
    told = reworded("runs/a", {**trained, "grounding": "When?"})
    assert told is not None and "the template is not the one that runs/a was trained with" in told
    assert "-> 'When?'" in told and "'When do you see {question}?" in told
    checkpoint = reworded("runs/a/checkpoints/iteration-000002.ckpt", {})
    assert checkpoint is not None and "'answer' -> None" in checkpoint
    assert reworded("mini_base", trained) is None and reworded(None, trained) is None


def test_a_random_state_of_the_machine_does_not_matter(script: Script, tmp_path: Path):
    torch.manual_seed(1)
    assert script("train", *TOY, "name=a") == 0
    torch.manual_seed(2)
    assert script("train", *TOY, "name=b") == 0
    runs = tmp_path / "runs"
    assert (runs / "a" / "rollouts.jsonl").read_bytes() == (runs / "b" / "rollouts.jsonl").read_bytes()


def test_the_command_of_the_readme_sweeps_as_a_process(repository: Path, tmp_path: Path):
    environment = os.environ | {"PYTHONPATH": str(repository / "src"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable, str(repository / "scripts" / "train.py"), "-m", "policy=toy", "data=toy",
        "shape=identity,log_exp", "seed=0,1", "trainer=cpu", "iterations=3",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (sweep,) = (tmp_path / "runs").iterdir()
    assert len(list(sweep.glob("*/summary.json"))) == 4 and (sweep / "curves.png").exists()


@pytest.mark.parametrize(
    ("overrides", "lacks"),
    [
        (["data=charades"], "data.annotations, data.videos"),
        (["references=teacher", "objective.terms.kl.reference=teacher"], "references.teacher.policy.weights"),
    ],
)
def test_an_option_without_a_value_is_named_in_one_line(
    overrides: list[str], lacks: str, script: Script, capfd: pytest.CaptureFixture[str]
):
    assert script("train", "template=answer", "policy=mini", "iterations=2", *overrides) == 1
    said = capfd.readouterr().err
    assert f"error: no value for {lacks}: give one on the command line" in said and "Traceback" not in said
