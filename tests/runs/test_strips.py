"""Strips show the frame that was on at each moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, VideoClip
from kairos.runs.strips import read_strips, save_strips


def prompt(uid: str, clip: str = "c", spans: tuple[Span, ...] = (Span(1.0, 2.0),)) -> Prompt:
    shades = torch.tensor([0, 80, 160, 240], dtype=torch.uint8)
    frames = shades[:, None, None, None].expand(4, 3, 8, 8).contiguous()
    seconds = torch.tensor([0.0, 1.0, 2.0, 7.0])
    return Prompt(uid, "grounding", "test", VideoClip(clip, frames, seconds, 8.0), "When?", Target(spans=spans))


def test_each_place_of_a_strip_shows_the_frame_of_its_time(tmp_path):
    (strip,) = save_strips([prompt("a")], tmp_path, frames=8, height=8)
    shades = np.asarray(Image.open(tmp_path / strip.file))[4, 4::8, 0]
    assert shades.tolist() == [0, 80, 160, 160, 160, 160, 160, 240]
    assert read_strips(tmp_path) == [strip] and strip.duration == 8.0


def test_prompts_without_frames_are_left_out_and_choices_have_strips_too(tmp_path):
    blind = replace(prompt("blind"), clip=VideoClip("b", None, torch.zeros(1), 1.0))
    asked = [prompt("a"), blind, prompt("choice", "d", spans=())]
    assert [strip.uid for strip in save_strips(asked, tmp_path)] == ["a", "choice"]


def test_nothing_to_show_writes_nothing(tmp_path):
    assert save_strips([], tmp_path / "strips") == []
    assert not (tmp_path / "strips").exists() and read_strips(tmp_path / "strips") == []
