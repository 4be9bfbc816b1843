"""Time-R1's other templates: version 2 (no thinking), version 3 (step by step) and its cold start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kairos.core.spans import Span
from kairos.core.types import Target
from kairos.data.templates.timezero import TimeR1Think, TimeZeroDirect


@dataclass(frozen=True)
class TimeR1Direct(TimeZeroDirect):
    """Version 2: as TimeZero's prompt without thinking, two decimals."""

    time: str = "{:.2f}"
    name: str = "time_r1_direct"


def _step(number: int) -> str:
    return (
        f"<timestep>Time period {number} (start time to end time)</timestep>: Describe the video content within this "
        'time period and determine if it is related to "[EVENT]".\n'
    )


@dataclass(frozen=True)
class TimeR1Steps(TimeR1Think):
    """Version 3, step by step, word for word as in the released fine-tuning trainer, with its own system turn."""

    text: str = (
        'Carefully analyze the video content to determine the precise time period during which "[EVENT]" occurs.  '
        "Within the `<think>` tags, provide a detailed description of your thought process, following the format "
        "below:\n```\n<think>\nStep-by-step Analysis:\n"
        f"{_step(1)}{_step(2)}"
        'Based on the above analysis, state the precise time period during which "[EVENT]" occurs.\n</think>\n```\n'
        'Finally, in the `<answer>` tags, provide the start and end times of "[EVENT]" in the format "start time to '
        'end time" (in seconds, precise to two decimal places). For example: "12.54 to 17.83".\n'
        "```\n<answer>\nstart time to end time\n</answer>\n```"
    )
    system: str = "You are a video analysis expert."
    name: str = "time_r1_steps"


@dataclass(frozen=True)
class TimeR1ColdStart(TimeR1Think):
    """Version 1's prompt, answered by `<think>ts1 to te1 : C1; ts2 to te2 : C2</think><answer>ts to te</answer>`.

    The thought is the target's demonstration, as `events` writes it (data.events=true). The published form shows angle
    brackets around the events; whether they belong to it is not known, and none are written.
    """

    name: str = "time_r1_cold_start"

    def answer(self, target: Target) -> str:
        """ValueError where the data has no written reasoning: this form is learned from nothing else."""
        if target.demonstration is None:
            raise ValueError("the target holds no demonstration: a cold start is learned from written reasoning")
        return super().answer(target)


def events(captions: Sequence[tuple[Span, str]], time: str = "{:.2f}") -> str:
    """Dense captions as a cold start's thought, in order of time.

    >>> events([(Span(7, 9), "He leaves."), (Span(0, 3.5), "A man sits.")])
    '0.00 to 3.50 : A man sits; 7.00 to 9.00 : He leaves'
    """
    steps = [
        f"{time.format(span.start)} to {time.format(span.end)} : {caption.strip().removesuffix('.')}"
        for span, caption in sorted(captions)
    ]
    return "; ".join(steps)
