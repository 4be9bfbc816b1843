"""Measures what sealing costs a checkpoint: saving beside Lightning's own way, and checking the seal beside loading.

    python benchmarks/checkpoint.py [--mebibytes 256] [--repeats 5] [--out results/checkpoint.json]

A state of random float32 tensors, as many bytes as asked for, is saved by each way in turn into one folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from rich.console import Console
from rich.table import Table

from kairos.core import seals
from kairos.train.devices.checkpoint_io import SealedCheckpoints

_TENSORS = 32


def seconds(work: Callable[[], object]) -> float:
    os.sync()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def durable(path: Path, state: dict[str, object]) -> None:
    """Save as Lightning does, and wait until the disk has it, as `SealedCheckpoints` does."""
    TorchCheckpointIO().save_checkpoint(state, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def measured(folder: Path, mebibytes: int, repeats: int) -> dict[str, float]:
    """Median seconds of each way, interleaved, all from a warm page cache."""
    elements = mebibytes * 2**20 // 4 // _TENSORS
    state: dict[str, object] = {"state_dict": {str(n): torch.randn(elements) for n in range(_TENSORS)}}
    ours, theirs = folder / "ours.ckpt", folder / "theirs.ckpt"
    ways: dict[str, Callable[[], object]] = {
        "save_sealed": lambda: SealedCheckpoints().save_checkpoint(state, ours),
        "save_lightning": lambda: TorchCheckpointIO().save_checkpoint(state, theirs),
        "save_lightning_and_sync": lambda: durable(theirs, state),
        "check": lambda: seals.check(ours),
        "load": lambda: torch.load(ours, weights_only=True),
    }
    runs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            runs[name].append(seconds(work))
    return {f"{name}_seconds": statistics.median(values) for name, values in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/checkpoint.json"))
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out.parent) as name:
        report = measured(Path(name), arguments.mebibytes, arguments.repeats)
    report["save_against_lightning_and_sync"] = (
        report["save_sealed_seconds"] / report["save_lightning_and_sync_seconds"]
    )
    report["check_against_load"] = report["check_seconds"] / report["load_seconds"]
    facts = {
        "mebibytes": arguments.mebibytes,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "command": f"python benchmarks/checkpoint.py --mebibytes {arguments.mebibytes} --repeats {arguments.repeats}",
    }
    arguments.out.write_text(json.dumps({**report, "machine": facts}, indent=2) + "\n")
    table = Table("measure", "value", title=f"a checkpoint of {arguments.mebibytes} MiB")
    for name, value in report.items():
        table.add_row(name.replace("_", " "), f"{value:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
