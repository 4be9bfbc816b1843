"""What a run says on the console when it begins, and the table when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from kairos.evaluation.display import Displays
from kairos.runs.options import option
from kairos.runs.read import read_run
from kairos.runs.series import TOTAL_REWARD, Series

_NEITHER = ("", "", "")
_VALIDATES_ON_TRAINING = (
    "\nvalidation asks the very rows that are trained on: data.val_annotations=<file> gives it others"
)


def opening(config: Mapping[str, object], overrides: Sequence[str], folder: Path) -> str:
    """What is trained on what, how, how long and where; and whether it validates on what it learns from."""
    policy, sampling, trainer = (_below(config, name) for name in ("policy", "sampling", "trainer"))
    method, data = option("method", overrides) or "own method", option("data", overrides) or "own data"
    weights = policy.get("weights") or option("policy", overrides)
    device = {"cpu": " on the CPU", "gpu": " on the GPU"}.get(str(trainer.get("accelerator")), "")
    count, prompts, answers = config.get("iterations"), config.get("prompts"), sampling.get("group_size")
    return (
        f"{method} on {data}: policy {weights}, {count} iterations of {prompts} prompts x {answers} answers{device}\n"
        f"in {folder}: report.html at the end; Ctrl-C ends the run after its iteration, to go on later"
        + (_VALIDATES_ON_TRAINING if _validates_on_training(_below(config, "data")) else "")
    )


def _validates_on_training(data: Mapping[str, object]) -> bool:
    """Whether one file is read for both."""
    train, val = (_below(_below(data, name), "records").get("annotations") for name in ("train", "val"))
    return "val_annotations" in data and train is not None and train == val


def end_table(folder: Path, summary: Mapping[str, object]) -> Table:
    """The rewards of the first and last iteration, and every score before and after, with the best constant answer."""
    run = read_run(folder)
    caption = [f"{summary['iterations']} iterations"] if "iterations" in summary else []
    caption += [f"{summary['n_val']} validation prompts"] if "n_val" in summary else []
    caption += [f"{summary['seconds']:.0f} s"] if isinstance(summary.get("seconds"), float) else []
    table = Table("", "before", "after", "change", title=str(folder), caption=", ".join(caption))
    rewards = [name for name in run.metrics if name == TOTAL_REWARD or name.startswith("reward/")]
    for name in sorted(rewards, key=lambda name: (name != TOTAL_REWARD, name)):
        if not name.endswith(("/spread", "/no_spread")):
            table.add_row(f"{name}, first and last iteration", *_ends(run.metrics[name]))
    table.add_section()
    _scores(table, "", summary, summary, run.displays)
    probes = summary.get("probes")
    for name, found in probes.items() if isinstance(probes, Mapping) else ():
        before = found.get("before", {})
        joined = {f"{metric}_after": value for metric, value in found.items()}
        _scores(
            table, f"{name}: ", {f"{metric}_before": value for metric, value in before.items()}, joined, run.displays
        )
    return table


def _scores(
    table: Table, place: str, before: Mapping[str, object], after: Mapping[str, object], displays: Displays
) -> None:
    for name, display in displays.by_name.items():
        first, last = _number(before.get(f"{name}_before")), _number(after.get(f"{name}_after"))
        if first is not None or last is not None:
            numbers = ["" if value is None else display.number(value) for value in (first, last)]
            change = "" if first is None or last is None else display.number(last - first, "+")
            table.add_row(f"{place}{display.label}", *numbers, change)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, float | int) else None


def _ends(series: Series) -> tuple[str, str, str]:
    if not series.values:
        return _NEITHER
    first, last = series.values[0], series.values[-1]
    return f"{first:.3f}", f"{last:.3f}", f"{last - first:+.3f}"


def _below(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}
