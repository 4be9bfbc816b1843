"""Trains the missing runs of the miniature tables in parallel, within a time limit, and writes the tables' results.

    python benchmarks/mini.py --minutes 8 --out packs            # all tables of conf/table/mini, on every GPU there is
    python benchmarks/mini.py --minutes 8 --state packs --out packs --tables a b
    python benchmarks/mini.py --state packs                      # only the tables, from what has finished

Repeat the command until it says that nothing is left: finished runs are skipped, begun ones resumed. Rows that several
tables share are trained once. `--out` gets packs of everything that a table is made of (not the weights), with which
`--state` goes on elsewhere, and results.tar.gz. Results come to results/mini/<table>.json and .md.
On a CPU and tiny: --set trainer=cpu iterations=2 data.clips=16 data.val_clips=4.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from kairos.compose import CONF
from kairos.report.published.definition import TableDefinition, TableRow, read_definition
from kairos.report.published.results import write_result
from kairos.report.published.sweeps import together
from kairos.runs.folder import RunFolder
from kairos.runs.keys import key_of
from kairos.runs.names import job_folder
from kairos.runs.packs import archive, pack, unpack

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
TABLES = Path(CONF) / "table" / "mini"
CACHE = "cache_videos"
SPLITS = "splits=[train,answer,ood,ood_short,others]"
SEEDS = (0, 1, 2)
RESERVE = 60.0  # seconds for stopping jobs, for the tables and for packing
KEPT = ("*.json", "*.yaml", "*.txt", "metrics.jsonl", "rewards.jsonl", "predictions/*/after.jsonl")
"""What a pack holds of a run."""


@dataclass(frozen=True)
class Study:
    """The runs of some tables: every distinct row with every seed, in folders below `runs`."""

    tables: tuple[TableDefinition, ...]
    seeds: tuple[int, ...]
    overrides: tuple[str, ...]
    runs: Path

    def rows(self) -> list[TableRow]:
        return list(dict.fromkeys(row.trained for table in self.tables for row in table.rows.values()))

    def folder(self, row: TableRow, seed: int) -> Path:
        chosen = [f"experiment={row.experiment}", f"seed={seed}", *row.overrides, *self.overrides]
        return job_folder(self.runs, chosen, {key_of(override) for override in chosen})

    def folders(self, row: TableRow) -> list[Path]:
        return [self.folder(row, seed) for seed in self.seeds]

    def unfinished(self, tables: Sequence[TableDefinition] | None = None) -> list[TableRow]:
        """The rows that lack a seed."""
        chosen = self.tables if tables is None else tables
        wanted = {row.trained for table in chosen for row in table.rows.values()}
        return [
            row
            for row in self.rows()
            if row in wanted and not all(RunFolder(folder).finished for folder in self.folders(row))
        ]

    def sweeps(self, rows: Sequence[TableRow]) -> list[list[str]]:
        """The commands that train some of the rows, as a user would type them: one for each set of overrides."""
        return [
            [
                "scripts/train.py", "-m", f"experiment={','.join(experiments)}",
                f"seed={','.join(map(str, self.seeds))}", *overrides, *self.overrides, "hydra/launcher=torchrun",
                f"hydra.sweep.dir={self.runs}",
            ]
            for overrides, experiments in together(rows).items()
        ]  # fmt: skip


def main() -> None:
    options = _options()
    end = time.monotonic() + 60 * options.minutes - RESERVE
    tables = tuple(map(read_definition, table_files(Path(options.definitions), options.tables)))
    study = Study(tables, tuple(options.seeds), tuple(options.set), Path(options.runs))
    if options.state:
        print(f"{unpack(Path(options.state), Path())} files taken from {options.state}")
    if end > time.monotonic() and study.unfinished():
        prepare(study, end)
        train(study, options.jobs, end)
    texts = [tabulate(table, study, Path(options.results)) for table in tables]
    if options.out:
        folders = [folder for row in study.rows() for folder in study.folders(row)]
        finished = [folder for folder in folders if RunFolder(folder).finished]
        measured = [path for table in tables if (path := _output(table)) is not None]
        results = [Path(options.results) / f"{table.name}{kind}" for table in tables for kind in (".json", ".md")]
        packs = pack([*finished, *measured], KEPT, Path(options.out))
        packs.append(archive([path for path in results if path.is_file()], Path(options.out) / "results.tar.gz"))
        for path in packs:
            print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    print("\n\n".join(texts))
    left = [folder for row in study.unfinished() for folder in study.folders(row) if not RunFolder(folder).finished]
    print(f"{len(left)} runs are left: repeat the command" if left else "every run has finished")


def table_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of the tables named in full or by their letter; without names all tables, in alphabetical order.

    ValueError when there is no such table.
    """
    files = sorted(folder.glob("*.yaml"))
    for name in names:
        if not any(name in (file.stem, file.stem.partition("_")[0]) for file in files):
            raise ValueError(f"there is no table {name} in {folder}; there are {', '.join(f.stem for f in files)}")
    return [file for file in files if not names or {file.stem, file.stem.partition("_")[0]} & set(names)]


def prepare(study: Study, end: float) -> None:
    """Render and decode the clips of all runs once, and measure prompts for the tables that select among them."""
    wanted = {"prepared": (CACHE, "experiment=mini/grpo", SPLITS)} if any(not _caches(t) for t in study.tables) else {}
    wanted |= {f"prepared-{t.name}": t.before for t in study.tables if _caches(t) and study.unfinished([t])}
    for name, (script, *chosen) in {command: (name, command) for name, command in wanted.items()}.values():
        if not (study.runs / name).exists() and _run([f"scripts/{script}.py", *chosen, *study.overrides], end):
            study.runs.mkdir(parents=True, exist_ok=True)
            (study.runs / name).touch()
    for table in study.tables:
        output = _output(table)
        if output is not None and study.unfinished([table]) and not list(output.glob("*.png")):
            _run([f"scripts/{table.before[0]}.py", *table.before[1:], *study.overrides], end)


def train(study: Study, jobs: int, end: float) -> None:
    for sweep in study.sweeps(study.unfinished()):
        minutes = (end - time.monotonic()) / 60
        if minutes > 0:
            room = jobs * max(1, torch.cuda.device_count())
            places = [f"hydra.launcher.jobs={room}", f"hydra.launcher.jobs_per_device={jobs}"]
            limits = [*places, f"hydra.launcher.minutes={minutes:.2f}", "hydra.launcher.draw=false"]
            _run([*sweep, *limits], end + RESERVE)


def tabulate(table: TableDefinition, study: Study, output: Path) -> str:
    folders = {name: study.folders(row) for name, row in table.rows.items()}
    own = Study((table,), study.seeds, study.overrides, study.runs)
    commands = [
        f"python benchmarks/mini.py --minutes 10 --tables {table.name}{_seeds(study.seeds)}",
        "# which does what is left of:",
    ]
    if table.before:
        commands.append(f"python scripts/{table.before[0]}.py {' '.join(table.before[1:])}")
    commands += [f"python {' '.join(sweep)} hydra.launcher.jobs_per_device=12" for sweep in own.sweeps(own.rows())]
    try:
        return write_result(table, folders, output, commands)
    except ValueError as error:
        return str(error)


def _run(command: Sequence[str], end: float) -> bool:
    """Run one of our scripts; returns whether it succeeded before `end`. Its output goes to the terminal."""
    print(f"$ python {' '.join(command)}", flush=True)
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    process = subprocess.Popen([sys.executable, str(SCRIPTS.parent / command[0]), *command[1:]], env=environment)
    try:
        return process.wait(max(1.0, end - time.monotonic())) == 0
    except subprocess.TimeoutExpired:
        print("time is up", flush=True)
        process.terminate()
        process.wait()
        return False


def _seeds(seeds: Sequence[int]) -> str:
    """How to ask for these seeds, where they are not the usual ones."""
    return "" if tuple(seeds) == SEEDS else f" --seeds {' '.join(map(str, seeds))}"


def _caches(table: TableDefinition) -> bool:
    """Whether the command before a table renders, decodes and embeds clips of its own."""
    return table.before[:1] == (CACHE,)


def _output(table: TableDefinition) -> Path | None:
    """The folder that the command before a table writes to."""
    return next((Path(o.removeprefix("output=")) for o in table.before if o.startswith("output=")), None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=[], help="names or letters; all without any")
    parser.add_argument("--definitions", default=str(TABLES), help="the folder of the tables' files")
    parser.add_argument("--minutes", type=float, default=0.0, help="of wall clock for everything; 0: train nothing")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=12, help="side by side on each GPU")
    parser.add_argument(
        "--set", nargs="+", default=[], help="more overrides for every run; other overrides, other runs"
    )
    parser.add_argument("--runs", default="runs/mini", help="of the runs; measured prompts stay in runs/mini")
    parser.add_argument("--results", default="results/mini")
    parser.add_argument("--state", help="a folder with the packs of an earlier command")
    parser.add_argument("--out", help="a folder for packs: at most 8 files of at most 16 MiB")
    return parser.parse_args()


if __name__ == "__main__":
    main()
