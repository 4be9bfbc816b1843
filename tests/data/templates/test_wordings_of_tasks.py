"""A template without a wording for a task says so before anything is decoded, and which templates have one."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from kairos.compose import CONF, compose, part
from kairos.core.types import Prompt, Target, Template, VideoClip, VideoSource
from kairos.data.dataset import PromptDataset
from kairos.data.records import Record
from kairos.data.templates.parts import ALL_TASKS, NoWording
from kairos.data.templates.timezero import TimeZeroThink

TASKS = ("grounding", "choice", "grounded_qa", "needle")


def words(template: Template, task: str) -> bool:
    clip = VideoClip("c", None, torch.zeros(0), 0.0)
    try:
        template.messages(Prompt("p", task, "s", clip, "What?", Target(), ("x", "y")))
    except NoWording:
        return False
    return True


def test_the_templates_that_the_error_names_have_a_wording_for_every_task():
    for option in ALL_TASKS:
        template = cast("Template", part(compose([option, "policy=toy", "data=toy"]).template))
        assert all(words(template, task) for task in TASKS), option
    assert all((Path(CONF) / f"{option.replace('=', '/')}.yaml").is_file() for option in ALL_TASKS)


class Never:
    """A loader that no test may reach."""

    def load(self, source: VideoSource) -> VideoClip:
        raise AssertionError(f"{source.path} was decoded")


def test_a_missing_wording_is_told_before_anything_is_decoded():
    rows = [
        Record(f"row-{task}", task, "mine", VideoSource("x.mp4"), "What?", Target(choice="A"), ("x", "y"))
        for task in ("grounding", "choice")
    ]
    message = r"prompt row-choice: the template has no wording for task 'choice', only for grounding; template=answer, "
    with pytest.raises(NoWording, match=message):
        PromptDataset(rows, Never(), TimeZeroThink(), processor=lambda prompt: pytest.fail("laid out"))
    PromptDataset(rows, Never(), TimeZeroThink())  # without words: for caching, and for policies that choose frames
