"""Compare runs on one page; of one run, write its own page again, or follow it while it trains.

Examples:

    kairos report runs/a runs/b                                   # seeds of one configuration share a row
    kairos report runs/a runs/b baseline=runs/a output=pages/ab
    kairos report sweep=runs/shapes                               # all jobs of a sweep
    kairos report runs/mine                                       # one run's page
    kairos report runs/mine watch=true                            # on this machine only, and follows the run
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from kairos.cli import command, user_errors
from kairos.core.stop_signals import Stopped
from kairos.report.comparison.page import jobs_of, write_comparison
from kairos.report.loopback import address
from kairos.report.run_page.live import live_server
from kairos.report.run_page.page import write_report
from kairos.runs.folder import find_run
from kairos.runs.names import report_name


@command("report")
def main(config: DictConfig) -> None:
    with user_errors():
        if config.watch:
            watch(config)
        else:
            print(f"report: {report(config)}")


def report(config: DictConfig) -> Path:
    runs = runs_of(config)
    if bool(runs) == bool(config.sweep):
        raise ValueError("say which runs to compare: runs=[runs/a,runs/b], or sweep=runs/<name>")
    if config.sweep:
        sweep = Path(config.sweep)
        return write_comparison(jobs_of(sweep), Path(config.output or sweep), config.baseline)
    if len(runs) == 1:
        return write_report(runs[0])
    return write_comparison(runs, Path(config.output or Path("runs") / report_name(runs)), config.baseline)


def watch(config: DictConfig) -> None:
    """Serve the page of one run until Ctrl-C."""
    runs = runs_of(config)
    if len(runs) != 1 or config.sweep:
        raise ValueError("watch=true follows one run: run=runs/<name>")
    with live_server(runs[0], config.port) as served:
        print(f"watching {runs[0]}: {address(served)} (this machine only; Ctrl-C ends it)", flush=True)
        try:
            served.serve_forever()
        except Stopped:
            return


def runs_of(config: DictConfig) -> list[Path]:
    named = [*config.runs, *([config.run] if config.run is not None else [])]
    return [find_run(str(name)) for name in named]


if __name__ == "__main__":
    main()
