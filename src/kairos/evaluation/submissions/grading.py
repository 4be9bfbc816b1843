"""Makes predictions of a submission file: every row of the split has one, as if a model had answered it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kairos.core.answers import NO_CHOICE, NO_PAIR, Answer, read
from kairos.core.grammar import Grammar
from kairos.core.spans import answer_iou
from kairos.data.records import Record
from kairos.evaluation.predictions import Prediction, complete, unanswered
from kairos.evaluation.submissions.submitted import Format, SubmissionError, Submitted
from kairos.evaluation.submissions.units import in_seconds

_NAMED = 5  # rows that a message names


@dataclass(frozen=True)
class Graded:
    """The predictions of a file, one for each row of the split, and what there is to say about it."""

    predictions: list[Prediction]
    missing: tuple[str, ...]
    """Names of rows that the file does not answer: they count as 0."""

    def remark(self) -> str | None:
        """One line about the rows that are missing; None without any."""
        if not self.missing:
            return None
        lacking = f"{len(self.missing)} of {len(self.predictions)} rows"
        return f"{lacking} are not in the file and count as 0: {_some(self.missing)}"


def graded(
    submitted: Sequence[Submitted], records: Sequence[Record], form: Format, grammar: Grammar, times: str | None = None
) -> Graded:
    """Match answers with rows by their names in the format, and compare them with the annotations.

    SubmissionError for a name that stands twice or that the split does not have, and for times in another unit.
    """
    wanted: dict[str, list[Record]] = {}
    for place, record in enumerate(records):
        wanted.setdefault(form.key(place, record), []).append(record)
    _refuse_double(submitted)
    unknown = [row for row in submitted if row.key not in wanted]
    if unknown:
        raise SubmissionError(
            f"{len(unknown)} of {len(submitted)} rows name nothing in this split, such as "
            f"{_some([row.key for row in unknown])} ({unknown[0].where}); it has names like "
            f"{_some(list(wanted))}: is it another split, or another format=?"
        )
    pairs = [(row, record) for row in submitted for record in wanted[row.key]]
    by_uid = {record.uid: grade(row, record, grammar) for row, record in in_seconds(pairs, times)}
    missing = tuple(record.uid for record in records if record.uid not in by_uid)
    return Graded(complete(by_uid.values(), records, grammar.many), missing)


def grade(row: Submitted, record: Record, grammar: Grammar) -> Prediction:
    """One answer beside its annotation: a text is read by the grammar, spans and letters are taken as they are.

    Where the grammar lists no spans, the IoU is that of the first one.
    """
    if row.text is not None and row.spans is None and row.choice is None:
        answer = read(row.text, grammar)
    else:
        spans = tuple(span for span in row.spans or () if span.proper)
        answer = Answer(spans, row.choice, None if spans else NO_PAIR, None if row.choice else NO_CHOICE)
    target = record.target
    compared = answer.spans if grammar.many else answer.spans[:1]
    return replace(
        unanswered(record.uid, "missing", record, grammar.many),
        text=row.text or "",
        spans=answer.spans,
        choice=answer.choice,
        reason=target.reason(answer),
        iou=answer_iou(compared, target.spans, grammar.many) if target.spans else None,
        correct=answer.choice == target.choice if target.choice is not None else None,
        ranked=row.ranked,
        saliency=row.saliency,
    )


def _refuse_double(submitted: Sequence[Submitted]) -> None:
    double = [key for key, count in Counter(row.key for row in submitted).items() if count > 1]
    if double:
        where = [row.where for row in submitted if row.key == double[0]]
        raise SubmissionError(
            f"{len(double)} rows are answered twice: {_some(double)} ({where[0]} and {where[1]}): leave one of each"
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    return shown + (", ..." if len(names) > _NAMED else "")
