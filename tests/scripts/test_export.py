"""scripts/export.py: a frame agent beside its CLIP, a language policy as a folder of its own, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import TINY, rows, weights
from helpers.scripting import Script
from helpers.tiny_clip import clip_folder
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

from kairos.policy.frame_agent.agent import TemporalAgent


def test_an_agent_is_written_as_published(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    clip = clip_folder(tmp_path / "clip")
    small = ["data.train.width=32", "data.val.width=32", "+policy.width=32", "+policy.heads=4"]
    small = [f"+{each}" if each.startswith("data") else each for each in small]
    assert script("train", "experiment=frame_toy", "iterations=2", "name=toy", "callbacks.progress=null", *small) == 0
    capfd.readouterr()
    assert script("export", "run=runs/toy", "as=tspo", f"as.clip={clip}", "output=merged") == 0
    assert "parameters, read again and equal" in capfd.readouterr().out
    agent = TemporalAgent(width=32, heads=4, unused_projection=False, weights="merged")
    agent.build()
    trained = torch.load(tmp_path / "runs/toy/checkpoints/iteration-000002.ckpt", weights_only=True)["state_dict"]
    assert len(rows(tmp_path / "runs/toy/metrics.jsonl")) == 2
    assert all(torch.equal(tensor, trained[f"policy.{name}"]) for name, tensor in agent.state_dict().items())
    assert not torch.equal(agent.query.weight, TemporalAgent(width=32, heads=4).query.weight), "after training"
    assert script("export", "run=runs/toy", "as=tspo", f"as.clip={clip}", "output=merged") == 1
    assert "output=merged exists and is not empty" in capfd.readouterr().err
    assert script("export", "run=runs/toy", "as=hf", "output=words") == 1
    assert "TemporalAgent, which has no Hugging Face form" in capfd.readouterr().err


def test_a_language_policy_is_written_as_a_folder_of_transformers(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    small = ["data=mini", "data.clips=2", "data.val_clips=1", "prompts=2", "sampling.max_actions=4"]
    quick = ["iterations=1", "sampling.group_size=2", "callbacks.validation=null"]
    assert script("train", *TINY, *small, *quick, "name=words", "callbacks.progress=null") == 0
    capfd.readouterr()
    assert script("export", "run=runs/words", "output=no", "hub=mine") == 1
    assert "hub=mine: a place on the Hugging Face hub is written <owner>/<name>" in capfd.readouterr().err
    assert not Path("no").exists()
    assert script("export", "run=runs/words", "output=folder", "as.dtype=null", "hub=me/mine") == 1
    (said,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert "hub=me/mine: not published" in said and "complete in folder: log in with `hf auth login`" in said
    for model in ("folder", "runs/words/model"):
        processor = AutoProcessor.from_pretrained(model)
        assert (processor.video_processor.max_frames, processor.video_processor.max_video_tokens) == (32, 4)
    written = Qwen3VLForConditionalGeneration.from_pretrained(tmp_path / "folder", dtype=torch.float32).state_dict()
    trained = weights(tmp_path / "runs/words/checkpoints/iteration-000001.ckpt")
    assert all(torch.equal(tensor, trained[f"policy.model.{name}"]) for name, tensor in written.items())


def test_a_run_without_a_checkpoint_has_nothing_to_export(script: Script, capfd: pytest.CaptureFixture[str]):
    assert script("export", "run=runs/none", "output=words") == 1
    assert "runs/none" in capfd.readouterr().err
