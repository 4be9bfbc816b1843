"""Score completions from a file with any method, reward, shape and advantage.

A row is {"completion": "...", "target": [[5.1, 10.2]], "duration": 30.0}, and may have more (kairos.credit.rows).
A run's rollouts.jsonl is such a file.

Examples:

    kairos score method=timezero input=x.jsonl output=y.jsonl
    kairos score method=timezero compat=paper input=x.jsonl output=y.jsonl  # as the paper's code reads
    kairos score method=tempsamp_r1 shape=log_exp input=x.jsonl output=y.jsonl
    kairos score template=answer reward=tiou_format input=runs/mine/rollouts.jsonl output=y.jsonl
    kairos score method=dapo advantage=leave_one_out input=x.jsonl output=y.jsonl
"""

from __future__ import annotations

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from kairos.cli import UserError, command, user_errors
from kairos.credit.rescoring import Tally


@command("score")
def main(config: DictConfig) -> None:
    with user_errors():
        score(config)


def score(config: DictConfig) -> None:
    if config.compat not in config.readers:
        raise UserError(f"error: compat must be one of {', '.join(config.readers)}, got {config.compat!r}")
    for name in ("input", "output"):
        if config[name] is None:
            raise UserError(f"error: say {name}=<file.jsonl>")
    rescorer = instantiate(config.rescorer, _convert_="all")
    show(rescorer.run(Path(config.input), Path(config.output)), config.output)


def show(tally: Tally, output: str) -> None:
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
