"""The formats by name, for `format=` and `export=`, and which of them a file is in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from kairos.core.spelling import close, did_you_mean
from kairos.evaluation.submissions import (
    ego4d_nlq,
    kairos_rows,
    letters,
    lmms_eval,
    qvhighlights,
    timelens,
    videomme,
    vlmevalkit,
    vue_tr,
)
from kairos.evaluation.submissions.submitted import Format, SubmissionError, json_file, json_rows

FORMATS: Mapping[str, Format] = {
    "kairos": kairos_rows.FORMAT,
    "lmms_eval": lmms_eval.FORMAT,
    "vlmevalkit": vlmevalkit.FORMAT,
    "timelens": timelens.FORMAT,
    "qvhighlights": qvhighlights.FORMAT,
    "vue_tr": vue_tr.FORMAT,
    "videomme": videomme.FORMAT,
    "mlvu": letters.MLVU,
    "lvbench": letters.LVBENCH,
    "longvideobench": letters.LONGVIDEOBENCH,
    "ego4d_nlq": ego4d_nlq.FORMAT,
}
_SIGNS: Mapping[str, Callable[[Mapping[str, object]], bool]] = {
    "qvhighlights": lambda row: "pred_relevant_windows" in row,
    "lmms_eval": lambda row: "doc_id" in row and "filtered_resps" in row,
    "vue_tr": lambda row: "query_id" in row and "answer" in row,
    "videomme": lambda row: "questions" in row,
    "mlvu": lambda row: "question_id" in row and "option" in row,
    "timelens": lambda row: any(key.count(">>>") >= 2 for key in row),
    "kairos": lambda row: "uid" in row,
}
"""What the first row of a file has, by format; LVBench's and LongVideoBench's ids are of no form of their own."""


def format_of(name: str) -> Format:
    """ValueError for an unknown name."""
    if name not in FORMATS:
        raise ValueError(f"there is no format {name!r}; {did_you_mean(close(name, FORMATS, 1)) or ', '.join(FORMATS)}")
    return FORMATS[name]


def recognised(path: Path) -> str:
    """The name of the format that a file is in. SubmissionError where its rows do not tell."""
    if path.suffix == ".tsv":
        return "vlmevalkit"
    whole = json_file(path) if path.suffix == ".json" else None
    if isinstance(whole, dict):
        if "results" in whole and "challenge" in whole:
            return "ego4d_nlq"
    else:
        for _, row in json_rows(path)[:1]:
            for name, fits in _SIGNS.items():
                if fits(row):
                    return name
    raise SubmissionError(f"{path}: its rows do not tell the format; say format= with one of {json.dumps([*FORMATS])}")
