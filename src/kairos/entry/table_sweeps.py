"""`kairos train -m table=<name>`: one sweep after another, until every row of the table has been trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def names_table(arguments: Sequence[str]) -> bool:
    return any(word.startswith("table=") for word in arguments)


def train_table(arguments: Sequence[str]) -> int:
    """Run the sweeps of `table=`, with all other arguments; returns the exit code of the last that failed, or 0.

    A sweep skips finished runs and goes on with begun ones. ValueError for an unknown table, or without -m.
    """
    import yaml  # here, as the others: they need more than the standard library

    from kairos.report.published.definition import read_definition
    from kairos.report.published.paper_table import is_paper_table
    from kairos.report.published.sweeps import sweeps_of, table_file
    from kairos.runs.options import CONF

    names = [name for word in arguments if word.startswith("table=") for name in word[6:].split(",")]
    flags = {"-m", "--multirun"}
    if flags.isdisjoint(arguments):
        raise ValueError(f"table={','.join(names)} trains many runs: say -m table={','.join(names)}")
    typed = [word for word in arguments if word not in flags and not word.startswith("table=")]
    worst = 0
    for path in [table_file(name, CONF) for name in names]:
        commands = [["train", "-m", *sweep] for sweep in sweeps_of(path, typed)]
        if not is_paper_table(yaml.safe_load(path.read_text(encoding="utf-8"))):
            before = read_definition(path).before
            commands = [[*before, *_settings(typed)], *commands] if before else commands
        for command in commands:
            print(f"$ kairos {' '.join(command)}", flush=True)
            words = [sys.executable, *_started(command[0]), *command[1:]]
            worst = subprocess.run(words, check=False).returncode or worst
    return worst


def _settings(typed: Sequence[str]) -> list[str]:
    """What of a sweep's overrides a single command takes: neither lists nor Hydra's own."""
    return [word for word in typed if not word.startswith("hydra") and "," not in word]


def _started(command: str) -> list[str]:
    """How this process was begun, for another command: `scripts/<command>.py`, or `kairos <command>`."""
    script = Path(sys.argv[0])
    return [str(script.with_name(f"{command}.py"))] if script.suffix == ".py" else [str(script), command]
