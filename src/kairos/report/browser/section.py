"""The rollout browser of a page as values of its template: the data, the script and its hash, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from kairos.report.browser.chosen_rows import Chosen, choose
from kairos.report.browser.island import island
from kairos.report.scripts import Script
from kairos.runs.row_strips import read_row_strips

SCRIPTS = (
    "values", "where_tokens", "where_tree", "where", "elements", "rows", "selecting", "histogram", "timeline",
    "rollout", "cards", "keys", "live", "main",
)  # fmt: skip
"""Files of templates/browser, in the order in which the page runs them."""
_STRIP_BYTES = 4_000_000
"""Of all pictures of a page."""


def chosen_of(folders: Mapping[str, Path]) -> dict[str, Chosen]:
    """What a page shows of each run, by name; without those that have no rollouts."""
    found = choose([folder / "rollouts.jsonl" for folder in folders.values()])
    return {name: chosen for name, chosen in zip(folders, found, strict=True) if chosen.groups}


def browser(
    folders: Mapping[str, Path], chosen: Mapping[str, Chosen], version: str | None = None
) -> dict[str, object] | None:
    """Values of browser.html.jinja; None where no run has rollouts. `version`: of a live run's page that is served."""
    if not chosen:
        return None
    late = [str(group[0].get("uid")) for run in chosen.values() for group in reversed(run.groups)]
    strips: dict[str, str] = {}
    for name in chosen:
        wanted = [uid for uid in dict.fromkeys(late) if uid not in strips]
        strips |= read_row_strips(folders[name], wanted, _STRIP_BYTES - sum(map(len, strips.values())))
    return {
        **Script.of(*SCRIPTS).values(served=version is not None),
        "island": Markup(island(chosen, strips).text),
        "note": _note(chosen),
        "version": version,
    }


def _note(chosen: Mapping[str, Chosen]) -> str:
    shown = sum(len(group) for run in chosen.values() for group in run.groups)
    of = sum(run.of_rollouts for run in chosen.values())
    iterations = max(run.iterations for run in chosen.values())
    of_iterations = max(run.of_iterations for run in chosen.values())
    said = f"{shown:,} rollouts of {iterations:,} iterations"
    if shown < of:
        said = (
            f"{shown:,} of {of:,} rollouts: those of {iterations:,} of {of_iterations:,} iterations, evenly spaced; "
            "kairos rollouts reads all of them"
        )
    broken = sum(run.broken for run in chosen.values())
    return said + (f". {broken} broken lines were left out" if broken else "") + "."
