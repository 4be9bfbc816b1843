"""Predictions: answers prompts greedily, one row for each prompt, and writes and reads these rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kairos.core.answers import read
from kairos.core.files import json_line
from kairos.core.grammar import LENIENT
from kairos.core.seals import check, replacing_state
from kairos.core.spans import Span, answer_iou
from kairos.core.types import Prompt, PromptBatch, Rollout, Sampling, Target

if TYPE_CHECKING:
    from kairos.core.protocols import RolloutEngine
    from kairos.data.records import Record

UNKNOWN = "unknown"
"""The task of a failed prompt without a record."""


@dataclass(frozen=True)
class Prediction:
    """A model's answer to one prompt, and how right it is."""

    uid: str
    task: str
    source: str
    """Name of the data set."""
    question: str
    text: str
    """The answer as written."""
    length: int
    """Tokens of the answer."""
    truncated: bool
    """The answer ran into the length limit."""
    spans: tuple[Span, ...]
    """Stated spans, in seconds."""
    choice: str | None
    """Stated letter."""
    reason: str | None
    """Why the answer is unusable: the parser's reason, "failed: ..." or "missing"; None if it is usable."""
    target_spans: tuple[Span, ...]
    """Annotated spans, in seconds."""
    target_choice: str | None
    """Letter of the right option."""
    options: int
    """Number of options."""
    duration: float | None
    """Seconds of the clip."""
    iou: float | None
    """0 for an unusable answer; None if the prompt asks for no span."""
    correct: bool | None
    """False for an unusable answer; None if the prompt asks for no choice."""
    many: bool = False
    """The grammar lists spans, so stated and annotated spans are compared as sets."""
    scores: Mapping[str, float] | None = None
    """The value of each metric that applies, by name; None if not scored yet (`kairos.evaluation.scores`)."""
    frames: tuple[float, ...] | None = None
    """Times of the frames that the answer was given from, in seconds; None where nothing was chosen, nor annotated as
    evidence."""
    evidence: tuple[Span, ...] = ()
    """Annotated stretches that show the right option, in seconds."""
    labelled: bool = True
    """False if nothing says what is right: neither `iou` nor `correct`, and no score that compares."""
    video: str = ""
    """File name of the video, which several questions may share; empty if unknown."""
    category: str = ""
    """The kind of question as the data set names it; empty if it names none."""
    rated: tuple[tuple[float, ...], ...] = ()
    """Annotated highlights: the start of a clip of 2 s in seconds, then each annotator's rating of it."""
    ranked: tuple[tuple[float, float, float], ...] | None = None
    """Stated (start, end, confidence) in the order of a submission; None: `spans`, all alike."""
    saliency: tuple[float, ...] | None = None
    """A stated score for each 2 s of the clip, from its beginning; None: what `text` says of highlights."""

    @property
    def answered(self) -> bool:
        """False if no model answered: the prompt failed or is missing."""
        return self.reason is None or not self.reason.startswith(("failed", "missing"))

    @property
    def windows(self) -> tuple[tuple[float, float, float], ...]:
        """Stated (start, end, confidence) in the order in which they count; 1 where no confidence was stated."""
        return tuple((span.start, span.end, 1.0) for span in self.spans) if self.ranked is None else self.ranked


def predict(prompt: Prompt, rollout: Rollout) -> Prediction:
    """Read one answer with the grammar of the prompt's template (lenient without one) and compare with the target."""
    target = prompt.target
    grammar = prompt.template.grammar if prompt.template is not None else LENIENT
    answer = read(rollout.text, grammar)
    labelled = _labelled(target)
    return Prediction(
        uid=prompt.uid,
        task=prompt.task,
        source=prompt.source,
        question=prompt.question,
        text=rollout.text,
        length=0 if rollout.actions_A is None else len(rollout.actions_A),
        truncated=rollout.truncated,
        spans=tuple(answer.spans),
        choice=answer.choice,
        reason=target.reason(answer) if labelled else answer.choice_reason if prompt.options else answer.span_reason,
        target_spans=tuple(target.spans),
        target_choice=target.choice,
        options=len(prompt.options),
        duration=float(prompt.clip.duration),
        iou=answer_iou(answer.spans, target.spans, grammar.many) if target.spans else None,
        correct=answer.choice == target.choice if target.choice is not None else None,
        many=grammar.many,
        frames=_shown(prompt, rollout),
        evidence=tuple(target.evidence),
        labelled=labelled,
    )


def _shown(prompt: Prompt, rollout: Rollout) -> tuple[float, ...] | None:
    """The chosen frames; where none were chosen but there is evidence, all that the clip holds (some, by a sampler)."""
    if rollout.chosen_K is not None:
        return tuple(prompt.clip.seconds_T[rollout.chosen_K].tolist())
    return tuple(prompt.clip.seconds_T.tolist()) if prompt.target.evidence else None


def unanswered(uid: str, reason: str, record: Record | None = None, many: bool = False) -> Prediction:
    """A prompt without an answer ("failed: ..." or "missing"), which counts as wrong.

    Without a record the task is unknown, so it is wrong in both scores. `many` is that of the prompt's grammar.
    """
    target = None if record is None else record.target
    return Prediction(
        uid=uid,
        task=UNKNOWN if record is None else record.task,
        source="" if record is None else record.source,
        question="" if record is None else record.question,
        text="",
        length=0,
        truncated=False,
        spans=(),
        choice=None,
        reason=reason,
        target_spans=() if target is None else tuple(target.spans),
        target_choice=None if target is None else target.choice,
        options=0 if record is None else len(record.options),
        duration=None if record is None else record.duration,
        iou=0.0 if target is None or target.spans else None,
        correct=False if target is None or target.choice is not None else None,
        many=many,
        labelled=target is None or _labelled(target),
    )


def _labelled(target: Target) -> bool:
    return bool(target.spans or target.choice or target.highlights)


def answer(
    engine: RolloutEngine,
    batches: Iterable[PromptBatch],
    sampling: Sampling,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """Answer every prompt once, greedily, with an engine that is set up and in sync.

    Of `sampling` only `max_actions` is used. Stand-ins (weight 0) are skipped; failed prompts become predictions
    without a task, which `complete` adds. `progress` is called after each batch with its number of prompts.
    """
    rows: dict[str, Prediction] = {}
    for found in answer_batches(engine, batches, sampling, seed):
        rows |= {row.uid: row for row in found}
        if progress is not None:
            progress(len(found))
    return list(rows.values())


def answer_batches(
    engine: RolloutEngine, batches: Iterable[PromptBatch], sampling: Sampling, seed: int = 0
) -> Iterator[list[Prediction]]:
    """As `answer`, a list for each batch: its answers in the order of its prompts, then its failures."""
    greedy = Sampling(temperature=0.0, max_actions=sampling.max_actions)
    for batch in batches:
        prompts = [prompt for prompt, weight in zip(batch.prompts, batch.weights_P.tolist(), strict=True) if weight > 0]
        groups = engine.generate(prompts, 1, greedy, seed) if prompts else []
        yield [
            *(predict(group.prompt, group.rollouts[0]) for group in groups),
            *(unanswered(failure.uid, f"failed: {failure.reason}") for failure in batch.failures),
        ]


def complete(predictions: Iterable[Prediction], records: Sequence[Record], many: bool = False) -> list[Prediction]:
    """Exactly one prediction per record, in the order of `records`, so that every prompt counts.

    Failed prompts get task and target from their record, and `many` from the argument; a record without a prediction
    becomes "missing".
    """
    rows = {prediction.uid: prediction for prediction in predictions}
    found: list[Prediction] = []
    for record in records:
        row = rows.get(record.uid)
        if row is None or not row.answered:
            row = unanswered(record.uid, "missing" if row is None else row.reason or "missing", record, many)
        found.append(replace(row, video=Path(record.video.path).name, category=record.category, rated=_rated(record)))
    return found


def _rated(record: Record) -> tuple[tuple[float, ...], ...]:
    target = record.target
    pairs = zip(target.highlights, target.ratings, strict=False)
    return tuple((second, *ratings) for (second, _), ratings in pairs)


def write(predictions: Iterable[Prediction], path: Path) -> None:
    """One JSON object a line, in order, atomically and with a seal; the folder is made when it is missing."""
    with replacing_state(path) as file:
        for prediction in predictions:
            file.write(json_line(asdict(prediction)))


def read_file(path: Path) -> list[Prediction]:
    """The rows of a file that `write` wrote; older files lack some fields. ValueError names an invalid row.

    BrokenFile where the file has a seal that it does not fit.
    """
    check(path)
    rows: list[Prediction] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}:{number} is not JSON in UTF-8: {error}") from error
            rows.append(from_json(row, f"{path}:{number}"))
    return rows


_NAMES = {field.name for field in fields(Prediction)}
_LATER = {field.name for field in fields(Prediction) if field.default is not MISSING}
"""Fields that predictions written by older versions lack."""


def from_json(row: object, where: str) -> Prediction:
    """The prediction that `asdict` made this JSON object of; ValueError, with `where`, if it is none."""
    if not isinstance(row, dict) or {*row, *_LATER} != _NAMES:
        raise ValueError(f"{where} is not a prediction: its fields must be {sorted(_NAMES)}")
    row = dict(row)
    try:
        row["spans"] = tuple(Span(*span) for span in row["spans"])
        row["target_spans"] = tuple(Span(*span) for span in row["target_spans"])
        row["evidence"] = tuple(Span(*span) for span in row.get("evidence", ()))
        for name in ("frames", "ranked", "saliency"):
            row[name] = None if row.get(name) is None else _tuples(row[name])
        row["rated"] = _tuples(row.get("rated", ()))
    except TypeError as error:
        raise ValueError(f"{where} is no prediction: spans are pairs of seconds ({error})") from error
    return Prediction(**row)


def _tuples(values: Sequence[object]) -> tuple[object, ...]:
    """A JSON list as a tuple, the lists in it too; TypeError for another value."""
    return tuple(_tuples(value) if isinstance(value, list) else value for value in [*values])
