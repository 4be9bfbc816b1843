"""Whether a group taught something, and if not, why: every rollout right, every one wrong, or all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kairos.core.spans import Span, answer_iou

DIFFER, ALL_RIGHT, ALL_WRONG, ALL_SAME = "rewards differ", "all right", "all wrong", "all the same"
SIGNALS = (DIFFER, ALL_SAME, ALL_RIGHT, ALL_WRONG)
_RIGHT = 0.5
"""The IoU from which a span counts as right, as in R1@0.5."""

Fields = Mapping[str, object]


def signal(rows: Sequence[Fields]) -> str:
    """One of `SIGNALS` for the rows of a group in rollouts.jsonl; "" if the policy sampled none of them.

    Rows are right where their span has an IoU of at least 0.5 and their letter is the true one, as far as the prompt
    has either; wrong where they share no second with the truth, or the letter is another.

    >>> signal([{"origin": "policy", "reward": 1.0, "spans": [[0, 4]], "target": [[0, 4]]}] * 2)
    'all right'
    """
    own = [row for row in rows if row.get("origin", "policy") == "policy"]
    if not own:
        return ""
    rewards = {value for row in own if isinstance(value := row.get("reward"), int | float)}
    if len(rewards) > 1:
        return DIFFER
    marks = [_mark(row) for row in own]
    return (
        ALL_RIGHT if all(mark == 1 for mark in marks) else ALL_WRONG if all(mark == 0 for mark in marks) else ALL_SAME
    )


def _mark(row: Fields) -> float:
    """1 for a right answer, 0 for a wrong one, between them for one that is neither, or that has no truth to meet."""
    found: list[float] = []
    if target := _spans(row.get("target")):
        spans = _spans(row.get("spans"))
        overlap = answer_iou(spans, target, many=len(spans) > 1)
        found.append(1.0 if overlap >= _RIGHT else overlap)
    if row.get("choice") and "letter" in row:
        found.append(float(row["letter"] == row["choice"]))
    return min(found, default=_RIGHT)


def _spans(value: object) -> list[Span]:
    pairs = value if isinstance(value, list) else []
    return [Span(float(pair[0]), float(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2]
