"""A trained agent chooses the frames for another method and for evaluation, by command lines alone."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from helpers.mini_agent import beside
from helpers.running import TINY, curve
from helpers.scripting import Script

from kairos.compose import build
from kairos.policy.frame_agent.scores import AgentScores
from kairos.runs.folder import RunFolder

FEW = [
    "data=mini", "data.clips=2", "data.val_clips=2", "data.tasks=[grounding]", "frames=mini_candidates",
    "enrich=mini_clip", "shown_frames=4", "sampler=agent",
]  # fmt: skip


def test_a_language_model_is_trained_and_evaluated_on_the_frames_of_an_agent(
    script: Script, frame_agent: Path, tmp_path: Path
):
    chosen = [*FEW, f"agent={frame_agent}", *beside(frame_agent.parent)]
    small = ["iterations=2", "prompts=2", "sampling.group_size=2", "sampling.max_actions=8", "callbacks.progress=null",
             "callbacks.export=null", "callbacks.validation=null"]  # fmt: skip
    assert script("train", "method=timezero", *chosen, *TINY, *small, "template=answer", "name=words") == 0
    run = tmp_path / "runs" / "words"
    assert len(curve(run, "reward/total")) == 2 and len((run / "rollouts.jsonl").read_text().splitlines()) == 8

    prompts = [p for batch in build(RunFolder(run).overrides()).datamodule.batches("val") for p in batch.prompts]
    whole = [*RunFolder(run).overrides(), "sampler=all", "shown_frames=null"]
    every = [p for batch in build(whole).datamodule.batches("val") for p in batch.prompts]
    scores = AgentScores(str(frame_agent))
    for shown, prompt in zip(prompts, every, strict=True):
        assert len(prompt.clip) == 32 and shown.layout is not None and int(shown.layout.grid_thw_N3[:, 0].sum()) == 4
        best = scores(prompt).topk(4).indices.sort().values
        assert torch.equal(shown.clip.seconds_T, prompt.clip.seconds_T[best])

    assert script("evaluate", "run=runs/words", "output=scores.json") == 0
    assert script("evaluate", "run=runs/words", "output=uniform.json", "sampler=uniform") == 0
    for name in ("scores", "uniform"):
        assert json.loads((tmp_path / f"{name}.json").read_text())["default"]["tasks"]["grounding"]["n"] == len(prompts)
