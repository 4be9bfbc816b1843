r"""Compare two evaluations of the same rows: what differs between them, and a paired test of each score.

Examples:

    kairos compare runs=[runs/a/evaluation/val-1,runs/b/evaluation/val-2]
    kairos compare runs=[a/scores.json,b/scores.json]             # the files instead of their folders
    kairos compare runs=[a,b] wording=think                       # another wording
    kairos compare runs=[a,b] difference=0.02                     # and how many rows a difference of two points needs
    kairos compare runs=[a] difference=0.02                       # of a run that is only planned
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from kairos.cli import command, user_errors
from kairos.evaluation.manifest import ScoredRows, predictions_path, read_scores
from kairos.evaluation.predictions import Prediction, read_file
from kairos.report.compared_scores import changes, needed, what_differs
from kairos.report.printed_scores import print_scores


@command("compare")
def main(config: DictConfig) -> None:
    with user_errors():
        compare(config)


def compare(config: DictConfig) -> None:
    if len(config.runs) not in (1, 2):
        raise ValueError(f"name one or two evaluations, got {len(config.runs)}: runs=[<folder>,<folder>]")
    paths = [_scores_file(Path(str(name))) for name in config.runs]
    found = [read_scores(path) for path in paths]
    labels = [[each.label for each in one] for one in found]
    label = config.wording or next((name for name in labels[0] if all(name in other for other in labels)), None)
    if label is None or any(label not in names for names in labels):
        known = ", ".join(name for names in labels for name in names)
        raise ValueError(f"wording={config.wording}: not in both evaluations, which have {known}")
    chosen = [next(each for each in one if each.label == label) for one in found]
    rows = [read_file(predictions_path(path, label)) for path in paths]
    for each in chosen:
        print_scores(each)
    if len(chosen) == 2:
        print_changes(chosen, rows)
    if config.difference is not None:
        print_needed(float(config.difference), rows)


def print_changes(chosen: list[ScoredRows], rows: list[list[Prediction]]) -> None:
    console = Console()
    console.print("\n".join(what_differs(*chosen)), highlight=False, markup=False, soft_wrap=True)
    if chosen[0].manifest.rows != chosen[1].manifest.rows:
        console.print("other rows, or other annotations: a paired test would mean nothing", highlight=False)
        return
    table = Table("score", "first", "second", "difference", "95 % interval", "p", title="paired test, by video")
    for change in changes(*rows):
        test = change.test
        table.add_row(
            change.score, f"{change.before:.4f}", f"{change.after:.4f}", f"{test.difference:+.4f}",
            f"{test.low:+.4f} to {test.high:+.4f}", f"{test.p:.4f}",
        )  # fmt: skip
    console.print(table)


def print_needed(difference: float, rows: list[list[Prediction]]) -> None:
    table = Table("score", "rows needed", title=f"for a difference of {difference:g} (5 % two-sided, power 80 %)")
    for name, count in needed(difference, rows[0], rows[1] if len(rows) == 2 else None).items():
        table.add_row(name, f"{count} (here: {len(rows[0])})")
    Console().print(table)


def _scores_file(path: Path) -> Path:
    return path / "scores.json" if path.is_dir() else path


if __name__ == "__main__":
    main()
