"""Compare runs on one page; of one run, write its own page again.

Examples:

    kairos report runs/a runs/b                                   # seeds of one configuration share a row
    kairos report runs/a runs/b baseline=runs/a output=pages/ab
    kairos report sweep=runs/shapes                               # all jobs of a sweep
    kairos report runs/mine                                       # one run's page
    kairos report runs=[runs/a,runs/b]
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from kairos.cli import command, user_errors
from kairos.report.comparison.page import jobs_of, write_comparison
from kairos.report.run_page.page import write_report
from kairos.runs.folder import find_run
from kairos.runs.names import report_name


@command("report")
def main(config: DictConfig) -> None:
    with user_errors():
        print(f"report: {report(config)}")


def report(config: DictConfig) -> Path:
    runs = [find_run(str(name)) for name in config.runs]
    if bool(runs) == bool(config.sweep):
        raise ValueError("say which runs to compare: runs=[runs/a,runs/b], or sweep=runs/<name>")
    if config.sweep:
        sweep = Path(config.sweep)
        return write_comparison(jobs_of(sweep), Path(config.output or sweep), config.baseline)
    if len(runs) == 1:
        return write_report(runs[0])
    return write_comparison(runs, Path(config.output or Path("runs") / report_name(runs)), config.baseline)


if __name__ == "__main__":
    main()
