"""A small picture of one group of rollouts: the frames, the true spans below them, and a bar for each answer."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from kairos.core.spans import Span
from kairos.core.types import VideoClip
from kairos.runs.strips import strip

_TRUE, _OWN, _GIVEN, _RULE, _PAPER = "#2f7d5b", "#1f6fb2", "#8a5aa3", "#dfe3e8", "#ffffff"
_LINE, _BAR = 12, 8  # pixels


def group_picture(
    clip: VideoClip,
    target: Sequence[Span],
    answers: Sequence[Sequence[Span]],
    sampled: Sequence[bool],
    frames: int = 12,
    height: int = 56,
) -> Image.Image:
    """The frames, a green bar for each true span, and a line for each answer: blue, or violet where not `sampled`.

    Without frames only the bars are drawn, 640 pixels wide.
    """
    seen = clip.frames_TCHW is not None and len(clip) > 0
    picture = strip(clip, frames, height) if seen else Image.new("RGB", (640, 1), _PAPER)
    lines = [(target, _TRUE)] if target else []
    lines += [(spans, _OWN if own else _GIVEN) for spans, own in zip(answers, sampled, strict=True)]
    whole = Image.new("RGB", (picture.width, picture.height + 4 + _LINE * len(lines)), _PAPER)
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    for number, (spans, color) in enumerate(lines):
        top = picture.height + 4 + _LINE * number
        draw.line((0, top + _BAR // 2, whole.width, top + _BAR // 2), fill=_RULE)
        for span in (span for span in spans if span.proper and clip.duration > 0):
            left, right = (
                min(max(second / clip.duration, 0.0), 1.0) * (whole.width - 1) for second in (span.start, span.end)
            )
            draw.rectangle((left, top, max(right, left + 1), top + _BAR), fill=color)
    return whole
