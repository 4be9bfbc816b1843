"""The real lmms-eval, in its own environment (VENV_LMMS_EVAL), evaluates a Kairos run and gives evaluate.py's score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.processes import environment
from helpers.scripting import Script, script  # noqa: F401 - a fixture

from kairos.data.mini.world import MiniWorld
from kairos.evaluation.manifest import read_scores

ENVIRONMENT = os.environ.get("VENV_LMMS_EVAL", "")
pytestmark = pytest.mark.skipif(
    not ENVIRONMENT, reason="needs lmms-eval in an environment of its own: make test-lmms-eval"
)

TASK = {
    "dataset_path": "json", "task": "tiny_grounding", "test_split": "test", "output_type": "generate_until",
    "generation_kwargs": {"max_new_tokens": 16, "do_sample": False, "temperature": 0, "until": ["</answer>\n"]},
}  # fmt: skip
FUNCTIONS = """
import re

def visual(doc, lmms_eval_specific_kwargs=None):
    return [doc["video"]]

def text(doc, lmms_eval_specific_kwargs=None):
    return f"When do you see {doc['question']}? Write <answer>start to end</answer>."

def results(doc, results):
    found = re.fullmatch(r"\\s*<answer>([\\d.]+) to ([\\d.]+)</answer>\\s*", results[0])
    (start, end), (s, e) = doc["spans"][0], map(float, found.groups()) if found else (0.0, 0.0)
    inside = min(e, end) - max(s, start)
    return {"miou": inside / (max(e, end) - min(s, start)) if inside > 0 else 0.0}
"""


def test_lmms_eval_gives_the_score_of_evaluate(script: Script, tmp_path: Path, repository: Path):  # noqa: F811
    world = MiniWorld(str(tmp_path / "world"), "val", clips=6, tasks=["grounding"], workers=1).records()
    rows = [
        {"video": str(Path(r.video.path).resolve()), "question": r.question, "spans": [list(s) for s in r.target.spans]}
        for r in world
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = ["iterations=1", "prompts=2", "optimizer.learning_rate=0.0", "evaluate=none", "data.clips=4", "name=mine"]
    assert script("train", *train, "data.val_clips=2", "callbacks.validation=null", "callbacks.export=null") == 0
    data = ["data=jsonl", "data.annotations=rows.jsonl", "data.videos=/"]
    assert script("evaluate", "run=runs/mine", *data, "template=answer", "output=ours/scores.json") == 0
    (ours,) = read_scores(tmp_path / "ours")

    task = tmp_path / "tasks" / "tiny"
    task.mkdir(parents=True)
    (task / "utils.py").write_text(FUNCTIONS)
    text = yaml.safe_dump(TASK | {"dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}}})
    named = {"doc_to_visual": "visual", "doc_to_text": "text", "process_results": "results"}
    text += "".join(f"{key}: !function utils.{name}\n" for key, name in named.items())
    text += "doc_to_target: question\nmetric_list:\n- {metric: miou, aggregation: mean, higher_is_better: true}\n"
    (task / "tiny.yaml").write_text(text)
    command = [
        f"{ENVIRONMENT}/bin/python", "-m", "lmms_eval", "--model", "kairos",
        "--model_args", f"run=runs/mine,python={sys.executable}", "--tasks", "tiny_grounding",
        "--include_path", str(tmp_path / "tasks"), "--batch_size", "64", "--output_path", "theirs", "--log_samples",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(repository) | {"HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    (file,) = (tmp_path / "theirs").rglob("*_results.json")
    theirs = json.loads(file.read_text())["results"]["tiny_grounding"]["miou,none"]
    assert 0.0 < theirs == pytest.approx(ours.scores["miou"], abs=1e-9)
    (samples,) = (tmp_path / "theirs").rglob("*_samples_tiny_grounding.jsonl")
    script_arguments = [*data, "template=answer", f"predictions={samples}", "output=again/scores.json"]
    assert script("evaluate", *script_arguments) == 0, "and its file of samples is read as a submission"
    (again,) = read_scores(tmp_path / "again")
    assert again.scores["miou"] == pytest.approx(theirs, abs=1e-9)
