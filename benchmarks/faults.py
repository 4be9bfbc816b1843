"""Breaks runs, files and processes at random, and says what became of them: tried, survived, named, lost.

    python benchmarks/faults.py [--quick] [--seed 0] [--kinds killed flipped] [--out results/faults.json]

A trial is survived if the result is that of a run without the fault, bit for bit; named if the program refused to go
on with an error that names what is broken; lost otherwise. Every trial is a function of the seed. What was tried is
kept in `--work`: the same command goes on where it was stopped, unless the code has changed, and several
commands may run side by side. `--quick` makes two trials of each kind.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from random import Random

os.environ |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "MPLBACKEND": "agg", "HF_HUB_OFFLINE": "1"}

import torch
from fault_kinds.jobs import call
from fault_kinds.kinds import kinds
from fault_kinds.trial import Kind, NotHere, Outcome, Verdict
from filelock import FileLock
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
WARM = ("kairos.", "hydra_plugins.", "hydra.", "matplotlib.", "lightning.pytorch.", "transformers.")
QUICK = 2
"""Trials of each kind with `--quick`."""


def fingerprint() -> str:
    """A name of the code that is tried: trials of other code do not count."""
    found = hashlib.sha256()
    for path in sorted(path for top in ("src", "scripts", "conf", "benchmarks") for path in (ROOT / top).rglob("*.*")):
        if path.suffix in (".py", ".yaml"):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def warm_up(work: Path) -> None:
    """Import here what a run imports, so that its process, which is forked from this one, need not."""
    folder = work / f"warm-{os.getpid()}"
    names = folder / "modules"

    def run() -> None:
        from kairos.compose import train

        train(["policy=toy", "data=toy", "template=answer", "iterations=1", "callbacks.progress=null"], folder / "run")
        import_module("transformers.models.qwen3_vl.modeling_qwen3_vl")
        names.write_text("\n".join(sys.modules))

    job = call(run, folder, folder / "log")
    if job.wait(300) != 0:
        raise RuntimeError(f"no run can be made here: see {job.log}")
    for name in names.read_text().splitlines():
        if name.startswith(WARM):
            import_module(name)


def tried(kind: Kind, count: int, work: Path, seed: int, console: Console) -> list[Outcome]:
    """The outcomes of a kind's trials: those that were made before, and the others. NotHere."""
    record = work / f"{re.sub('[^a-z0-9]+', '-', kind.name.lower())}-{seed}.jsonl"
    with FileLock(f"{record}.lock"):  # of another command that tries this kind
        lines = record.read_text().splitlines() if record.exists() else []
        outcomes = [
            Outcome(Verdict(row["verdict"]), row["what"], row["said"], row.get("seconds"))
            for row in map(json.loads, lines)
        ][:count]
        if len(outcomes) < count:
            with FileLock(work / "prepare.lock"):
                kind.prepare(work)
        for number in range(len(outcomes), count):
            trial = work / "trials" / record.stem
            shutil.rmtree(trial, ignore_errors=True)
            trial.mkdir(parents=True)
            outcome = kind.attempt(work, trial, Random(f"{seed} {kind.name} {number}"), number)
            outcomes.append(outcome)
            with record.open("a") as file:
                file.write(json.dumps({"number": number, **asdict(outcome)}) + "\n")
            if outcome.verdict is Verdict.LOST:
                console.print(
                    f"LOST {kind.name}, trial {number}: {outcome.what}: {outcome.said}", style="red", markup=False
                )
                shutil.copytree(trial, work / "lost" / f"{record.stem}-{number}", dirs_exist_ok=True, symlinks=True)
        return outcomes


def row_of(kind: Kind, outcomes: Sequence[Outcome]) -> dict[str, object]:
    counts = Counter(outcome.verdict for outcome in outcomes)
    distances = [outcome.seconds for outcome in outcomes if outcome.seconds is not None]
    return {
        "kind": kind.name,
        "tried": len(outcomes),
        **{verdict.value: counts[verdict] for verdict in Verdict},
        **({"largest_distance_seconds": max(distances)} if distances else {}),
        "lost_trials": [
            {"number": number, **asdict(outcome)}
            for number, outcome in enumerate(outcomes)
            if outcome.verdict is Verdict.LOST
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} trials of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[""], help="only kinds whose names begin so")
    parser.add_argument("--work", type=Path, default=Path(".cache/faults"), help="where trials are made and recorded")
    parser.add_argument("--out", type=Path, default=Path("results/faults.json"))
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background, and its children, ignore
    torch.set_num_threads(1)  # a process with more threads cannot be forked safely
    console, work = Console(width=120), options.work.resolve() / fingerprint()
    work.mkdir(parents=True, exist_ok=True)
    warm_up(work)
    chosen = [kind for kind in kinds() if kind.name.startswith(tuple(options.kinds))]
    table = Table("kind", "tried", *Verdict)
    rows = []
    for kind in chosen:
        try:
            outcomes = tried(kind, QUICK if options.quick else kind.trials, work, options.seed, console)
        except NotHere as error:
            console.print(f"{kind.name}: not tried here: {error}", markup=False)
            outcomes = []
        rows.append(row := row_of(kind, outcomes))
        table.add_row(kind.name, *(str(row[name]) for name in ("tried", *Verdict)))
        result = {"seed": options.seed, "machine": platform.platform(), "torch": torch.__version__, "kinds": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    console.print(table)
    lost = sum(int(str(row["lost"])) for row in rows)
    print(f"{lost} lost; wrote {options.out}")
    raise SystemExit(lost > 0)


if __name__ == "__main__":
    main()
