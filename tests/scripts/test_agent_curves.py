"""scripts/agent_curves.py and TSPO's toy example: learned within ten iterations, and drawn as a picture and a GIF."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import curve
from helpers.scripting import Script
from PIL import Image


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_toy_example_is_learned_and_drawn(
    seed: int, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert script("train", "experiment=tspo_toy", f"seed={seed}", "name=toy", "callbacks.progress=null") == 0
    rewards = curve(tmp_path / "runs" / "toy", "reward/total")
    assert len(rewards) == 10 and rewards[0] <= 0.25 and max(rewards) == 1.0
    capfd.readouterr()
    assert script("agent_curves", "run=runs/toy") == 0
    last = capfd.readouterr().out.strip().splitlines()[-1]
    assert last == "mean reward: " + " ".join(f"{reward:.3f}" for reward in rewards)
    figures = tmp_path / "runs" / "toy" / "figures"
    with Image.open(figures / "agent_curves.gif") as moving, Image.open(figures / "agent_curves.png") as picture:
        assert getattr(moving, "n_frames", 1) == 10
        assert picture.width > picture.height > 300


def test_curves_say_what_they_lack(script: Script, capfd: pytest.CaptureFixture[str]):
    assert script("train", "experiment=frame_toy", "iterations=2", "name=few", "callbacks.progress=null") == 0
    assert script("agent_curves", "run=runs/few") == 1
    assert "iteration-000001.ckpt is missing: the curves need every iteration's weights" in capfd.readouterr().err
    assert script("train", "policy=toy", "data=toy", "iterations=1", "prompts=2", "name=words") == 0
    assert script("agent_curves", "run=runs/words") == 1
    assert "its policy chooses no frames; train one with policy=frame_agent" in capfd.readouterr().err
