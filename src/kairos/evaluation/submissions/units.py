"""Times that are no seconds: fractions, per cent, frames. They are noticed, and converted where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kairos.core.spans import Span
from kairos.data.records import Record
from kairos.evaluation.submissions.submitted import SubmissionError, Submitted

SCALES = {"fractions": 1.0, "percent": 100.0}
"""How much the whole clip is, in times that are shares of it."""
_ENOUGH = 5  # rows with times and durations, to judge from
_MOST = 0.5  # share of rows behind their clip's end, or of annotations out of reach


def in_seconds(rows: Sequence[tuple[Submitted, Record]], times: str | None) -> list[tuple[Submitted, Record]]:
    """The rows in seconds. `times`: seconds, fractions or percent of the clip; None: seconds, unless they cannot be.

    SubmissionError where most of the stated times can be no seconds, with what they look like; ValueError for another
    unit, or a row whose duration is not known.
    """
    if times is None:
        _refuse_other_units(rows)
        return list(rows)
    if times == "seconds":
        return list(rows)
    if times not in SCALES:
        raise ValueError(f"times must be seconds, fractions or percent, got {times!r}; convert frames to seconds first")
    found = []
    for row, record in rows:
        if row.spans and record.duration is None:
            raise SubmissionError(f"{row.where}: times={times} needs the clip's duration, which the data do not give")
        scale = (record.duration or 0.0) / SCALES[times]
        spans = None if row.spans is None else tuple(Span(s.start * scale, s.end * scale) for s in row.spans)
        ranked = None if row.ranked is None else tuple((s * scale, e * scale, sure) for s, e, sure in row.ranked)
        found.append((replace(row, spans=spans, ranked=ranked), record))
    return found


def _refuse_other_units(rows: Sequence[tuple[Submitted, Record]]) -> None:
    timed = [(row.spans, record) for row, record in rows if row.spans and record.duration]
    if len(timed) < _ENOUGH:
        return
    ends = [(max(span.end for span in spans), record.duration or 0.0, record) for spans, record in timed]
    highest = max(end for end, _, _ in ends)
    behind = sum(end > 1.5 * duration for end, duration, _ in ends) / len(ends)
    if highest <= 1.0 and _out_of_reach(ends, 1.0) > _MOST:
        raise SubmissionError(
            f"no stated time exceeds {highest:g}, though clips last up to {max(d for _, d, _ in ends):g} s: these look "
            "like fractions of the clip: say times=fractions, or times=seconds if they are meant so"
        )
    if highest <= 100.0 and (behind > _MOST or _out_of_reach(ends, 100.0) > _MOST):
        raise SubmissionError(
            f"no stated time exceeds {highest:g}, and {behind:.0%} of the answers end far behind their clip: these "
            "look like per cent of the clip: say times=percent, or times=seconds if they are meant so"
        )
    if behind > _MOST:
        raise SubmissionError(
            f"{behind:.0%} of the answers end far behind their clip (one at {highest:g}): these look like frame "
            "numbers: divide them by the frames a second, or say times=seconds if they are meant so"
        )


def _out_of_reach(ends: Sequence[tuple[float, float, Record]], limit: float) -> float:
    """The share of annotated events that begin behind `limit` seconds."""
    starts = [min(span.start for span in record.target.spans) for _, _, record in ends if record.target.spans]
    return sum(start > limit for start in starts) / max(1, len(starts))
