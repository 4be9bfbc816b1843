"""scripts/mini_clip.py: the recipe of the mini CLIP learns, says what it learned, and writes what enrich= reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.scripting import Script
from helpers.tiny_language import clip

from kairos.core.types import Prompt, Target
from kairos.policy.embedding.features import ClipFeatures

SMALL = ["steps=30", "batch=64", "train_frames=300", "held_out=60", "sizes.width=32", "sizes.layers=1", "device=cpu"]


def test_the_recipe_learns_and_writes_an_encoder(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert script("mini_clip", "output=a", "seed=1", "needles=2", *SMALL) == 0
    said = capfd.readouterr().out
    losses = [float(line.split()[-1]) for line in said.splitlines() if line.startswith("step")]
    assert len(losses) == 2 and losses[-1] < losses[0] - 0.1
    assert "captions is true of 0." in said and "needles ranked by their questions" in said
    prompt = Prompt("p", "needle", "mini", clip("c", 5, 64, 64), "Which shape is red?", Target())
    assert ClipFeatures("a")(prompt).clip.features["clip"].shape == (5, 32)
    assert script("mini_clip", "output=b", "seed=1", "needles=2", *SMALL) == 0
    first, second = (tmp_path / name / "model.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes(), "the same seed gives the same weights"
