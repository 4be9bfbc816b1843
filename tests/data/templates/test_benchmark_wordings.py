"""Wordings of benchmarks: what is asked to the letter, and that what is written is read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kairos.compose import CONF
from kairos.core.answers import read
from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, VideoClip
from kairos.data.templates.benchmark import BenchmarkWording

FILES = {
    path.stem: path
    for path in sorted((Path(CONF) / "template").glob("*.yaml"))
    if "BenchmarkWording" in path.read_text()
}


def wording(name: str) -> BenchmarkWording:
    return instantiate(OmegaConf.load(FILES[name]), _convert_="all")


def asked(name: str, question: str = "He waves. .", options: tuple[str, ...] = ()) -> str:
    template = wording(name)
    task = next(iter(template.wordings))
    clip = VideoClip("c", None, torch.zeros(0), 16.0)
    *_, user = template.messages(Prompt("u", task, "s", clip, question, Target(), options))
    return next(part["text"] for part in user["content"] if part["type"] == "text")  # type: ignore[index, union-attr]


def test_what_a_wording_writes_it_reads_again():
    assert len(FILES) > 15
    for name in FILES:
        template = wording(name)
        for task in template.wordings:
            spans, letter = task == "grounding", None if task == "grounding" else "B"
            target = Target(spans=(Span(3.5, 6.0), Span(8.0, 9.0)) if spans else (), choice=letter)
            text = template.answer(target)
            answer = read(text, template.grammar)
            assert template.well_formed(text) and answer.choice == letter, name
            right = target.spans if template.grammar.many else target.spans[:1]
            assert answer.spans == right, name
        assert template.describe()["template"] == name and not template.well_formed("...")


def test_the_published_words_stand_to_the_letter():
    assert asked("timelens_bench") == (
        "Please find the visual event described by the sentence 'He waves.', determining its starting and ending "
        "times. The format should be: 'The event happens in <start time> - <end time> seconds'."
    )
    assert asked("vue_tr", "a cat") == (
        'You are given a video.\nTask: temporal retrieval.\nGiven the query: "a cat", return ALL time spans (in '
        "seconds) where the query is relevant.\nOutput format MUST be a JSON array of [start, end] pairs, e.g. [[0, "
        "3.5], [10, 12]].\n"
    )
    assert "happens in the 24.3 - 30.4 seonds. Now I will give you the textual sentence: He" in asked(
        "lmms_eval_charades"
    )
    assert asked("videomme", "Who?", ("a", "b")) == (
        "Select the best answer to the following multiple-choice question based on the video. Respond with only the "
        "letter (A, B, C, or D) of the correct option.\nWho?\nA. a\nB. b\nThe best answer is:"
    )
    assert "based on the video and the subtitles. Respond" in asked("videomme_lmms_eval", "Who?", ("a", "b"))
    assert asked("lmms_eval_choice", "Who?", ("a", "b")) == (
        "Who?\nA. a\nB. b\nAnswer with the option's letter from the given choices directly."
    )
    assert asked("mvbench_lmms_eval", "Who?", ("a",)) == "Question:Who?\nOption:\n(A) a\nOnly give the best option.\n"
    assert wording("mlvu").system.startswith("Carefully watch this video and pay attention to every detail.")
    assert asked("tempcompass_yes_no", "Is it?", ("yes", "no")) == "Is it?\nPlease answer yes or no:"
    assert wording("tempcompass_yes_no").answer(Target(choice="B")) == "no"


def test_letters_and_wordings_are_checked():
    with pytest.raises(ValueError, match=r"must hold \[EVENT\]"):
        BenchmarkWording({"choice": "Who?"}, "mine")
    with pytest.raises(ValueError, match=r"template.event must be one of as is, collapsed, cleaned"):
        BenchmarkWording({"choice": "[EVENT]"}, "mine", event="tidy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="5 options, but answers are read with 4 letters"):
        asked("videomme", "Who?", tuple("abcde"))
    with pytest.raises(ValueError, match="neither a span nor a choice"):
        wording("videomme").answer(Target())
