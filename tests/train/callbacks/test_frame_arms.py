"""After training, every arm chooses as many frames of every probe's prompts, and a frozen answerer answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.pixel_features import AGENT

from kairos.compose import build
from kairos.evaluation.predictions import read_file
from kairos.video.samplers.best import TopK

ARMS = [
    *AGENT, "callbacks=frame_arms", "callbacks.frame_arms.frames=[4,5]", "metrics=frames",
    "+probes.questions=${data.val}", "iterations=1", "callbacks.validation=null", "callbacks.checkpoint=null",
]  # fmt: skip
NAMES = ("uniform", "top-k", "bin-max", "aks", "agent", "agent-bin-max", "agent-diverse")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arms")
    experiment = build([*ARMS, f"data.folder={folder}/clips", f"store={folder}/store", f"run={folder}/run"])
    experiment.trainer.fit(experiment.module, experiment.datamodule)
    agent = experiment.module.policy
    prompts = [p for batch in experiment.datamodule.batches("questions") for p in batch.prompts]
    with torch.no_grad():
        chosen = [TopK(agent.scores_of)(prompt, 5) for prompt in prompts]  # type: ignore[arg-type]
    torch.save([prompt.clip.seconds_T[index_K].tolist() for prompt, index_K in zip(prompts, chosen, strict=True)],
               folder / "agent.pt")  # fmt: skip
    return folder


def test_every_arm_and_number_of_frames_has_its_file_with_every_prompt(folder: Path) -> None:
    files = sorted((folder / "run" / "predictions").glob("*/after.jsonl"))
    assert {file.parent.name for file in files} == {f"questions_{arm}_{k}" for arm in NAMES for k in (4, 5)}
    uids = {tuple(row.uid for row in read_file(file)) for file in files}
    assert len(uids) == 1 and len(next(iter(uids))) > 2


def test_arms_show_as_many_frames_as_asked(folder: Path) -> None:
    for arm in NAMES:
        for count in (4, 5):
            rows = read_file(folder / "run" / "predictions" / f"questions_{arm}_{count}" / "after.jsonl")
            shown = [len(row.frames) for row in rows if row.frames is not None]
            assert len(shown) == len(rows)
            assert set(shown) == {count}, arm


def test_the_agents_arm_shows_the_frames_that_the_trained_agent_scores_highest(folder: Path) -> None:
    rows = read_file(folder / "run" / "predictions" / "questions_agent_5" / "after.jsonl")
    assert [list(row.frames or ()) for row in rows] == torch.load(folder / "agent.pt", weights_only=True)


def test_answers_are_scored_with_the_runs_metrics(folder: Path) -> None:
    rows = read_file(folder / "run" / "predictions" / "questions_uniform_5" / "after.jsonl")
    needles = [row for row in rows if row.task == "needle"]
    assert needles and all(row.scores and "evidence_recall" in row.scores for row in needles)
    assert all(row.scores and "accuracy" in row.scores and row.choice is not None for row in rows)


def test_what_cannot_be_compared_is_refused_before_training() -> None:
    experiment = build([*ARMS, "rollout=live"])
    with pytest.raises(ValueError, match="take rollout=frame_sets"):
        experiment.trainer.fit(experiment.module, experiment.datamodule)
    gone = ["+answerer@callbacks.frame_arms.answerers.second=mini",
            "callbacks.frame_arms.answerers.second.policy.weights=runs/gone"]  # fmt: skip
    experiment = build([*ARMS, *gone])
    with pytest.raises(ValueError, match=r"policy\.weights=runs/gone: there is no such folder"):
        experiment.trainer.fit(experiment.module, experiment.datamodule)
    twice = "+callbacks.frame_arms.untrained.agent=${callbacks.frame_arms.untrained.uniform}"
    for wrong, message in (("callbacks.frame_arms.frames=[0]", "must be numbers"), (twice, "among its untrained"),
                           ("+callbacks.frame_arms.answerers.my_own=${answerer}", "without '_'")):  # fmt: skip
        with pytest.raises(Exception, match=message):
            build([*ARMS, wrong])
