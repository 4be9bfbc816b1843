"""Ego4D-NLQ's submission: `results: [{"clip_uid", "annotation_uid", "query_idx", "predicted_times"}]`.

A row is named `<clip>_<annotation>_<query>`, which is its id in our reader too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from kairos.core.files import write_whole
from kairos.evaluation.submissions.submitted import (
    Format,
    Row,
    SubmissionError,
    Submitted,
    field,
    json_file,
    number_of,
    own_id,
    spans_of,
)

_KEYS = ("clip_uid", "annotation_uid", "query_idx")


def read(path: Path) -> list[Submitted]:
    whole = json_file(path)
    results = cast("Mapping[str, object]", whole).get("results") if isinstance(whole, dict) else None
    if not isinstance(results, list):
        raise SubmissionError(f"{path} has no list `results`: give another format=, or correct the file")
    found = []
    for number, row in enumerate(cast("list[Mapping[str, object]]", results), start=1):
        where = f"{path}, result {number}"
        name = "_".join(str(field(row, key, where)) for key in _KEYS)
        found.append(Submitted(name, where, spans=spans_of(field(row, "predicted_times", where), where)))
    return found


def write(rows: Sequence[Row], path: Path) -> None:
    results = []
    for row in rows:
        clip, _, rest = own_id(row.place, row.record).partition("_")
        annotation, _, query = rest.rpartition("_")
        results.append(
            {
                "clip_uid": clip,
                "annotation_uid": annotation,
                "query_idx": number_of(query),
                "predicted_times": [list(span) for span in row.prediction.spans],
            }
        )
    whole = {"version": "1.0", "challenge": "ego4d_nlq_challenge", "results": results}
    write_whole(path, json.dumps(whole, indent=1) + "\n")


FORMAT = Format(key=own_id, read=read, write=write, suffix=".json")
