"""Score completions from a file with any method, reward, shape and advantage.

A row is {"completion": "...", "target": [[5.1, 10.2]], "duration": 30.0}, and may have more (kairos.credit.rows).
A run's rollouts.jsonl is such a file; it is read and rewarded as that run did, but for what is typed.

Examples:

    kairos score method=timezero input=x.jsonl output=y.jsonl
    kairos score method=timezero compat=paper input=x.jsonl output=y.jsonl  # as the paper's code reads
    kairos score method=tempsamp_r1 shape=log_exp input=x.jsonl output=y.jsonl
    kairos score input=runs/mine/rollouts.jsonl output=y.jsonl  # with the run's own wording and reward
    kairos score method=dapo advantage=leave_one_out input=x.jsonl output=y.jsonl
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from kairos.cli import UserError, command, config_dir, needs_of, user_errors
from kairos.compose import compose, part
from kairos.credit.advantages import PerGroup
from kairos.credit.rescoring import Rescorer, Tally
from kairos.credit.rewards.rubric import Rubric, Weighted
from kairos.credit.shapes import Identity
from kairos.runs.folder import RunError, RunFolder, find_run
from kairos.stored import compose_stored


@command("score")
def main(config: DictConfig) -> None:
    source = (
        Path(config.input) if config.input else find_run(str(config.run)) / "rollouts.jsonl" if config.run else None
    )
    run = find_run(str(config.run)) if config.run else None if source is None else run_of(source)
    with user_errors(), needs_of(run, config_dir()) if run is not None else nullcontext():
        if source is None or config.output is None:
            raise UserError(f"error: say {'input' if source is None else 'output'}=<file.jsonl>")
        score(config, source, Path(config.output), None if run is None else RunFolder(run))


def score(config: DictConfig, source: Path, output: Path, run: RunFolder | None) -> None:
    compat = config.compat or ("ours" if run is None else "training")
    if compat not in config.readers:
        raise UserError(f"error: compat must be one of {', '.join(config.readers)}, got {compat!r}")
    if run is not None and not run.begun:
        raise RunError(f"run={run.path}: there is no such run; leave run= out to choose template and reward yourself")
    given = [*HydraConfig.get().overrides.task, f"compat={compat}"]
    if run is None:
        composed = compose(given, config_dir(), "score")
    else:
        composed = compose_stored(run, given, config_dir(), "score", output.parent, config.trust)
    rescorer = part(composed.rescorer)
    assert isinstance(rescorer, Rescorer)
    tally = rescorer.run(source, output)
    whose = "the options given" if run is None else str(run.path)
    print(f"wording and reward of {whose}, compat={compat}: {described(composed, rescorer)}")
    show(tally, output)


def run_of(source: Path) -> Path | None:
    """The folder of the run that holds a file, from here if it lies below; None if none does."""
    found = next((folder for folder in source.absolute().parents if RunFolder(folder).begun), None)
    here = Path.cwd()
    return found.relative_to(here) if found is not None and found.is_relative_to(here) else found


def described(config: DictConfig, rescorer: Rescorer) -> str:
    """Template, reward and advantage by the names of their classes: `AnswerOnly; 1 LogExp(IoU) + 0.1 Format; ...`."""
    names = [str(config[key].get("_target_")).rpartition(".")[2] for key in ("template", "reward", "advantage")]
    if isinstance(rescorer.reward, Rubric):
        names[1] = " + ".join(_term(weighted) for weighted in rescorer.reward.terms.values() if weighted is not None)
    if isinstance(rescorer.advantage, PerGroup):
        names[2] = type(rescorer.advantage.rule).__name__
    return "; ".join(names)


def _term(weighted: Weighted) -> str:
    name, shape = type(weighted.term).__name__, weighted.shape
    return f"{weighted.weight:g} {name if isinstance(shape, Identity) else f'{type(shape).__name__}({name})'}"


def show(tally: Tally, output: Path) -> None:
    injected = f", {tally.injected} of them injected" if tally.injected else ""
    table = Table("term", "mean", "rows", title=f"{tally.rows} rows{injected}; {tally.groups} groups")
    for name, (mean, count) in tally.means().items():
        table.add_row(name, f"{mean:.4f}", str(count))
    for reason, count in sorted(tally.reasons.items(), key=lambda item: -item[1]):
        table.add_row(f"not read: {reason}", f"{count / (tally.rows - tally.injected):.4f}", str(count))
    console = Console()
    console.print(table)
    console.print(f"written: {output}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
