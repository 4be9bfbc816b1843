"""QVHighlights' submission: a line `{"qid", "query", "vid", "pred_relevant_windows", "pred_saliency_scores"}`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from kairos.core.files import json_line, write_whole
from kairos.evaluation.benchmarks.highlights import CLIP
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.submissions.submitted import (
    Format,
    Row,
    Submitted,
    field,
    json_rows,
    number_of,
    own_id,
    spans_of,
    video_of,
)


def read(path: Path) -> list[Submitted]:
    found = []
    for where, row in json_rows(path):
        windows = field(row, "pred_relevant_windows", where)
        spans = spans_of(windows, where)
        scores = [float(window[2]) if len(window) > 2 else 1.0 for window in cast("list[list[float]]", windows)]
        saliency = row.get("pred_saliency_scores")
        found.append(
            Submitted(
                str(field(row, "qid", where)),
                where,
                spans=spans,
                ranked=tuple((span.start, span.end, score) for span, score in zip(spans, scores, strict=True)),
                saliency=tuple(map(float, saliency)) if isinstance(saliency, list) else None,
            )
        )
    return found


def write(rows: Sequence[Row], path: Path) -> None:
    """Windows score 1, in the order stated; a clip's saliency is 1 where its middle lies in a window, else 0."""
    lines = []
    for row in rows:
        query = row.record.question
        lines.append(
            json_line(
                {
                    "qid": number_of(own_id(row.place, row.record)),
                    "query": query,
                    "vid": video_of(row.record),
                    "pred_relevant_windows": [list(window) for window in row.prediction.windows],
                    "pred_saliency_scores": _saliency(row.prediction),
                }
            )
        )
    write_whole(path, b"".join(lines))


def _saliency(prediction: Prediction) -> list[float]:
    if prediction.saliency is not None:
        return list(prediction.saliency)
    middles = [CLIP * clip + CLIP / 2 for clip in range(int((prediction.duration or 0.0) / CLIP))]
    return [float(any(span.start <= middle <= span.end for span in prediction.spans)) for middle in middles]


FORMAT = Format(key=own_id, read=read, write=write, suffix=".jsonl")
