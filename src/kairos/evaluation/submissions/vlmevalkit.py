"""VLMEvalKit's table of predictions: `index, video, question, answer, prediction`, tab-separated."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from kairos.core.files import write_whole
from kairos.evaluation.submissions.submitted import Format, Row, SubmissionError, Submitted, field, video_of

COLUMNS = ("index", "video", "question", "answer", "prediction")


def read(path: Path) -> list[Submitted]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except FileNotFoundError:
        raise SubmissionError(f"predictions={path}: there is no such file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SubmissionError(f"{path} is no tab-separated text ({error}): save an .xlsx as .tsv first") from error
    found = []
    for number, row in enumerate(rows, start=2):
        where = f"{path}:{number}"
        found.append(Submitted(str(field(row, "index", where)), where, text=str(field(row, "prediction", where) or "")))
    return found


def write(rows: Sequence[Row], path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        target = row.record.target
        answer = target.choice or [list(span) for span in target.spans]
        writer.writerow([row.place, video_of(row.record), row.record.question, answer, row.prediction.text])
    write_whole(path, text.getvalue())


FORMAT = Format(key=lambda place, record: str(place), read=read, write=write, suffix=".tsv")
