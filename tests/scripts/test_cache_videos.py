"""scripts/cache_videos.py: clips, and the features of clips and questions where an option of enrich= keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.scripting import Script
from helpers.tiny_clip import clip_folder


def test_features_are_stored_with_the_clips_and_a_second_call_adds_nothing(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    chosen = ["data=mini", "data.clips=2", "data.val_clips=1", "data.tasks=[choice]", "workers=1"]
    clip = [*chosen, "enrich=clip", f"enrich.clip.weights={clip_folder(tmp_path / 'clip')}"]
    assert script("cache_videos", *clip) == 0
    said = capfd.readouterr().out
    assert "3 clips: 3 written" in said and "enrich.clip: features of 3 clips (96 frames) and " in said
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / ".cache/features").rglob("*.safetensors")}
    assert len([path for path in stored if not path.stem.endswith("-text")]) == 3 < len(stored)
    assert script("cache_videos", *clip) == 0
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / ".cache/features").rglob("*.safetensors")}
    assert again == stored and "3 already there" in capfd.readouterr().out
