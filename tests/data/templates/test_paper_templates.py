"""The wordings of Temporal-R1, Time-R1 and TempSamp-R1 to the letter where they are known, and what each reads."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kairos.compose import CONF
from kairos.core.answers import read
from kairos.core.grammar import LENIENT
from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, Template, VideoClip
from kairos.data.templates.reread import Reread
from kairos.data.templates.temporal_r1 import TemporalR1, TemporalR1AllTasks
from kairos.data.templates.tempsamp_highlight import TempSampHighlight, TempSampHighlightThink
from kairos.data.templates.tempsamp_r1 import TempSampDirect, TempSampReleased, TempSampReleasedThink, TempSampThink
from kairos.data.templates.time_r1 import TimeR1ColdStart, TimeR1Direct, TimeR1Steps
from kairos.data.templates.timezero import TimeR1Think, TimeZeroDirect

GROUNDING = (
    TemporalR1(), TemporalR1AllTasks(), TimeR1Direct(), TimeR1Steps(), TimeR1ColdStart(), TempSampDirect(),
    TempSampThink(), TempSampReleased(), TempSampReleasedThink(),
)  # fmt: skip
TARGET = Target(spans=(Span(1.0, 2.0), Span(3.5, 6.0)), demonstration="3.50 to 6.00 : a red circle")


def prompt(
    task: str = "grounding", question: str = " Person turns  a Light on. ", options: tuple[str, ...] = ()
) -> Prompt:
    return Prompt("u", task, "s", VideoClip("c", None, torch.zeros(0), 16.0), question, Target(), options)


def asked(template: Template, about: Prompt | None = None) -> tuple[str | None, list[str], str]:
    """The system turn's text, the kinds of the user turn's parts in order, and its text."""
    *system, user = template.messages(about or prompt())
    parts: list[dict[str, str]] = user["content"]  # type: ignore[assignment]
    text = next(part["text"] for part in parts if part["type"] == "text")
    said = system[0]["content"][0]["text"] if system else None  # type: ignore[index]
    return said, [part["type"] for part in parts], text


EVENT = 'To accurately pinpoint the event "person turns  a light on" in the video, determine the precise time period of the event. '  # noqa: E501
PAPER = 'the start and end times (in seconds, precise to two decimal places) in the format "start time to end time" within the <answer> </answer> tags. For example: "12.54 to 17.83".'  # noqa: E501
THINK = "Output your thought process within the <think> </think> tags, including analysis with either specific timestamps (xx.xx) or time ranges (xx.xx to xx.xx) in <timestep> </timestep> tags. "  # noqa: E501
RELEASED = 'To accurately pinpoint the event "[EVENT]" in the video, determine the precise time period of the event. Provide the start and end times (in seconds, precise to two decimal places) in the format "start time to end time" within <answer> </answer> tags. For example: <answer> 12.5 to 17.8 </answer>.'  # noqa: E501
RELEASED_THINK = 'To accurately pinpoint the event "Person turns a Light on" in the video, determine the precise time period of the event.\n\nFirst, analyze the video content and reason about when the described event happens inside <think> </think> tags. Then provide the start and end times (in seconds, precise to two decimal places) in the format "start time to end time" within <answer> </answer> tags. For example: <think> reasoning </think><answer> 12.54 to 17.83 </answer>.'  # noqa: E501
HELPFUL = "You are a helpful assistant."
STEPS = """Carefully analyze the video content to determine the precise time period during which "person turns  a light on" occurs.  Within the `<think>` tags, provide a detailed description of your thought process, following the format below:
```
<think>
Step-by-step Analysis:
<timestep>Time period 1 (start time to end time)</timestep>: Describe the video content within this time period and determine if it is related to "person turns  a light on".
<timestep>Time period 2 (start time to end time)</timestep>: Describe the video content within this time period and determine if it is related to "person turns  a light on".
Based on the above analysis, state the precise time period during which "person turns  a light on" occurs.
</think>
```
Finally, in the `<answer>` tags, provide the start and end times of "person turns  a light on" in the format "start time to end time" (in seconds, precise to two decimal places). For example: "12.54 to 17.83".
```
<answer>
start time to end time
</answer>
```"""  # noqa: E501


@pytest.mark.parametrize(
    ("template", "system", "text"),
    [
        (TempSampDirect(), HELPFUL, f"{EVENT}Provide {PAPER}"),
        (TempSampThink(), HELPFUL, f"{EVENT}{THINK}Then, provide {PAPER}"),
        (TempSampReleased(), None, RELEASED.replace("[EVENT]", " Person turns  a Light on. ")),
        (TempSampReleased(cleaned=True), None, RELEASED.replace("[EVENT]", "Person turns a Light on")),
        (TempSampReleasedThink(), None, RELEASED_THINK),
    ],
)  # fmt: skip
def test_tempsamp_r1_asks_in_the_words_of_paper_and_repository(template: Template, system: str | None, text: str):
    assert asked(template) == (system, ["video", "text"], text)


def test_temporal_r1_has_its_system_turn_and_the_video_first():
    system, order, text = asked(TemporalR1())
    assert system == (
        "You FIRST think about the reasoning process as an internal monologue and then provide the final answer.\n The "
        "reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put in <answer> "
        "</answer> tags. Output the final answer in JSON format."
    )
    assert order == ["video", "text"]
    assert text == 'Give the query: "Person turns  a Light on.", when does the described content occur in the video?.'
    assert asked(TemporalR1(grounding="[EVENT]"))[2] == "Person turns  a Light on."


def test_temporal_r1_writes_json_and_judges_it():
    assert TemporalR1().answer(Target(spans=(Span(3.5, 6.0),), demonstration="x")) == (
        '<think>x</think><answer>{"start_time": "3.50", "end_time": "6.00"}</answer>'
    )
    template = TemporalR1AllTasks()
    both = Target(spans=(Span(3.5, 6.0),), choice="B", demonstration="x")
    for target in (both, Target(choice="C", demonstration="x")):
        text = template.answer(target)
        answer = read(text, template.grammar)
        assert template.well_formed(text) and answer.choice == target.choice and answer.spans == target.spans
        assert not TemporalR1().well_formed(text), "the released check knows no letters"
    assert not template.well_formed('<think>x</think><answer>{"answer": "BC"}</answer>')
    assert not template.well_formed('<answer>{"answer": "B"}</answer>')
    question = prompt("grounded_qa", "Which is first?", ("red", "blue"))
    assert asked(template, question)[2].startswith("Which is first?\n(A) red\n(B) blue\nGive the letter and when")
    with pytest.raises(ValueError, match="no wording for task 'choice', only for grounding"):
        TemporalR1().messages(prompt("choice"))
    with pytest.raises(ValueError, match="neither a span nor a choice"):
        TemporalR1().answer(Target())


@pytest.mark.parametrize("template", GROUNDING, ids=lambda template: type(template).__name__)
def test_what_a_template_writes_every_reader_reads_and_it_finds_well_formed(template: TemporalR1):
    text = template.answer(TARGET)
    assert template.well_formed(text) and not template.well_formed("3.5 to 6.0")
    for grammar in (template.grammar, LENIENT):
        assert read(text, grammar).spans == (Span(3.5, 6.0),), "the longest span is written"
    described = template.describe()
    assert json.loads(json.dumps(described)) == described
    others = (*GROUNDING, TimeR1Think(), TimeZeroDirect())
    assert [other.describe() for other in others].count(described) == 1
    assert pickle.loads(pickle.dumps(template)) == template


def test_the_released_evaluation_cuts_full_stops_and_then_the_blank_before_them():
    said = [asked(TempSampReleased(cleaned=cleaned), prompt(question="He  waves . ..")) for cleaned in (False, True)]
    assert [text.split('"')[1] for *_, text in said] == ["He  waves . ..", "He waves ."]


def test_the_released_answer_has_blanks_around_it():
    assert TempSampReleased().answer(TARGET) == "<answer> 3.50 to 6.00 </answer>"
    assert TempSampDirect().answer(TARGET) == TimeR1Direct().answer(TARGET) == "<answer>3.50 to 6.00</answer>"


def test_time_r1_asks_without_thinking_by_steps_and_for_a_cold_start():
    assert asked(TimeR1Direct()) == asked(TimeZeroDirect())
    system, order, text = asked(TimeR1Steps())
    assert system == "You are a video analysis expert." and order == ["text", "video"]
    assert text == STEPS
    assert asked(TimeR1ColdStart()) == asked(TimeR1Think())
    text = TimeR1ColdStart().answer(TARGET)
    assert text == "<think>3.50 to 6.00 : a red circle</think><answer>3.50 to 6.00</answer>"
    with pytest.raises(ValueError, match="learned from written reasoning"):
        TimeR1ColdStart().answer(Target(spans=(Span(3.5, 6.0),)))


@pytest.mark.parametrize("template", [TempSampHighlight(), TempSampHighlightThink()])
def test_highlights_are_asked_written_and_judged(template: TempSampHighlight):
    target = Target(highlights=((84.0, 1.7), (82.0, 1.3)), demonstration="x")
    text = template.answer(target)
    said = "The highlight timestamps are in the 82, 84 seconds. Their saliency scores are 1.3, 1.7"
    assert text.endswith(f"<answer>{said}</answer>") and template.well_formed(text)
    assert not template.well_formed(said) and not template.well_formed(text.replace(", 1.7", ""))
    assert '"person turns  a light on"' in asked(template, prompt("highlight"))[2]
    assert "from 0 (very bad) to 4 (very good)" in asked(template, prompt("highlight"))[2], "the scale of the data"
    with pytest.raises(ValueError, match="no highlights"):
        template.answer(Target(spans=(Span(1, 2),)))


def test_a_reread_template_differs_in_its_reader_alone():
    reread = Reread(TempSampReleased())
    assert reread.grammar is LENIENT and reread.messages(prompt()) == TempSampReleased().messages(prompt())
    assert reread.answer(TARGET) == TempSampReleased().answer(TARGET)
    text = "<answer>5.0s - 11.6s</answer>"
    assert reread.well_formed(text) is TempSampReleased().well_formed(text)
    assert read(text, reread.grammar).spans == (Span(5.0, 11.6),)


def test_every_option_of_the_papers_is_a_template_with_a_name_of_its_own():
    names = [path.stem for path in Path(CONF).glob("template/t*_r1*.yaml")]
    names += [path.stem for path in Path(CONF).glob("template/tempsamp*.yaml")]
    described = []
    for name in names:
        template = instantiate(OmegaConf.load(Path(CONF) / "template" / f"{name}.yaml"), _convert_="all")
        described.append(template.describe().get("template", name))  # a schedule names those of its phases
        assert template.describe() and template.grammar
    assert len(described) > 10 and len(set(described)) == len(described)
