"""Writes rollouts as one compact JSON text that a page carries: prompts once, rows as lists, nothing rounded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kairos.report.browser.chosen_rows import Chosen, Fields
from kairos.report.browser.signal import signal
from kairos.report.html import encodable

PROMPT = ("uid", "task", "source", "question", "target", "choice", "highlights", "duration")
"""Fields of a row that belong to its prompt."""
ABSENT = "\0absent"
"""Stands in a row's list for a field that the row lacks; `rows.js` has the same."""


@dataclass(frozen=True)
class Island:
    """The data of a page's rollouts."""

    text: str
    """JSON in which no "<" stands, so that it can lie in a script element whatever the rollouts say."""
    uids: tuple[str, ...]
    """Of the prompts, in the island's order."""
    rollouts: int


def island(runs: Mapping[str, Chosen], strips: Mapping[str, str]) -> Island:
    """The rollouts of runs by name; `strips`: data URIs of pictures by prompt uid."""
    rows = [row for run in runs.values() for group in run.groups for row in group]
    fields = list(dict.fromkeys(name for row in rows for name in row if name not in ("iteration", *PROMPT)))
    prompts: dict[str, int] = {}
    values: list[list[object]] = []
    groups: list[list[object]] = []
    for place, run in enumerate(runs.values()):
        for group in run.groups:
            prompt = _listed(group[0], PROMPT)
            key = json.dumps(prompt, sort_keys=True)
            if key not in prompts:
                prompts[key] = len(values)
                values.append(prompt)
            listed = [_listed(row, fields) for row in group]
            groups.append([place, group[0].get("iteration"), prompts[key], signal(group), listed])
    uids = tuple(str(prompt[0]) for prompt in values)
    tree = {
        "runs": list(runs), "promptFields": PROMPT, "prompts": values, "fields": fields, "groups": groups,
        "strips": {str(at): strips[uid] for at, uid in enumerate(uids) if uid in strips},
    }  # fmt: skip
    return Island(in_script(_dumped(tree)), uids, len(rows))


def in_script(text: str) -> str:
    r"""JSON with escapes for what could end, or open, an element of HTML.

    >>> print(in_script('["</script><script>"]'))
    ["\u003c/script>\u003cscript>"]
    """
    return encodable(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _listed(row: Fields, names: Sequence[str]) -> list[object]:
    """The row's values in the order of `names`; absent ones at the end are left out."""
    values = [row.get(name, ABSENT) for name in names]
    while values and values[-1] == ABSENT:
        values.pop()
    return values


def _dumped(tree: object) -> str:
    try:
        return json.dumps(tree, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:  # numbers that JSON has no word for
        return json.dumps(_spelt(tree), ensure_ascii=False, separators=(",", ":"))


def _spelt(tree: object) -> object:
    """NaN and infinities as objects that `rows.js` reads."""
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"$number": "NaN" if math.isnan(tree) else f"{'-' * (tree < 0)}Infinity"}
    if isinstance(tree, Mapping):
        return {name: _spelt(value) for name, value in tree.items()}
    return [_spelt(value) for value in tree] if isinstance(tree, list | tuple) else tree
