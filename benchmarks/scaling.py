"""Measures how training scales over the GPUs of one host: 3B with DDP, 7B with FSDP2, full fine-tuning.

    python benchmarks/scaling.py                               # on the GPUs that there are, of 1, 2 and 4
    python benchmarks/scaling.py --devices 2 --models qwen2_5_vl_7b
    python benchmarks/scaling.py --tiny --out tiny.json        # the mini model in processes of a CPU: tries the program

Whole runs of three iterations on generated clips (about 4,096 visual tokens a prompt), random weights, 8 answers of 200
tokens, `--prompts` prompts a GPU; the third iteration counts. Efficiency: prompts a second and GPU, against the fewest
GPUs on which that model ran. After every iteration the ranks compare checksums of all weights. Where a model does not
fit, or so many GPUs are not there, the line is the prediction of `kairos plan`, and says so. A finished cell is kept:
a repeated command does what is missing, and begins no cell after `--minutes`. Writes results/scaling.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from measuring import machine, store, stored
from rich.console import Console
from rich.table import Table
from whole_runs import BARE, Prediction, iterated, predicted

STRATEGY = {"qwen2_5_vl_3b": "ddp", "qwen2_5_vl_7b": "fsdp2"}
SIZE = ["data=mini_large", "frames=qwen2_5_3584", f"frames.total_pixels={4096 * 28 * 28}", "data.clips=24", "workers=4"]
TINY = [
    "data=mini", "data.clips=4", "data.val_clips=1", "frames=mini", "trainer=cpu", "policy=mini_random",
    "+policy.config.hidden=64", "+policy.config.layers=2", "+policy.config.heads=4", "+policy.config.key_heads=2",
    "+policy.config.sections=[4,2,2]", "+policy.config.intermediate=96", "sampling.max_actions=4",
    "sampling.group_size=2",
]  # fmt: skip
LAST = 3  # the iteration that counts


@dataclass(frozen=True)
class Cell:
    """One model on so many GPUs."""

    model: str
    devices: int
    prompts: int
    """On each GPU."""
    tiny: bool

    @property
    def name(self) -> str:
        return f"{self.model} {STRATEGY[self.model]}, {self.devices} x {self.prompts}"

    @property
    def overrides(self) -> list[str]:
        strategy = STRATEGY[self.model] if self.devices > 1 else "single"
        real = [
            *SIZE, "trainer=gpu", f"policy={self.model}", "policy.random_weights=true", "policy.recompute=auto",
            "sampling.max_actions=200", "updates.microbatch=1",
        ]  # fmt: skip
        return [
            *(TINY if self.tiny else real), *BARE, "data.tasks=[grounding]", "objective=surrogate", "template=answer",
            f"strategy={strategy}", f"trainer.devices={self.devices}", f"prompts={self.prompts}", f"iterations={LAST}",
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(STRATEGY), choices=list(STRATEGY))
    parser.add_argument("--devices", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--prompts", type=int, default=4, help="on each GPU")
    parser.add_argument("--minutes", type=float, default=7.0, help="no cell begins after this; a cell takes up to two")
    parser.add_argument("--tiny", action="store_true", help="the mini model on a CPU, one process a device")
    parser.add_argument("--out", type=Path, default=Path("results/scaling.json"))
    options = parser.parse_args()
    begun, console, whole = time.monotonic(), Console(width=140), stored(options.out)
    lines = cast("dict[str, dict[str, object]]", whole.setdefault("cells", {}))
    there = max(options.devices) if options.tiny else torch.cuda.device_count()
    cells = [Cell(model, count, options.prompts, options.tiny) for model in options.models for count in options.devices]
    plans = {cell.name: None if cell.tiny else predicted(cell.overrides, cell.devices) for cell in cells}
    for cell in cells:
        plan = plans[cell.name]
        if cell.name in lines or cell.devices > there or (plan is not None and not plan.fits):
            continue
        if time.monotonic() - begun > 60 * options.minutes:
            break
        lines[cell.name] = measure(cell)
        whole["machine"] = machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        store(options.out, whole)
    console.print(table(cells, lines, plans))


def measure(cell: Cell) -> dict[str, object]:
    run = Path("runs") / f"scaling-{cell.model}-{cell.devices}"
    watched = [
        "+callbacks.checksums._target_=rank_checksums.RankChecksums", f"+callbacks.checksums.folder={run.as_posix()}"
    ]  # fmt: skip
    took = iterated(run, [*cell.overrides, *watched], cell.devices, LAST)
    if took is None:
        return {"error": "the run failed"}
    sums = json.loads((run / "checksums.json").read_text(encoding="utf-8"))["sums"]
    return {"iteration": took, "checksums": sums, "ranks_agree": len(set(sums)) == 1}


def table(cells: list[Cell], lines: dict[str, dict[str, object]], plans: dict[str, Prediction | None]) -> Table:
    drawn = Table(title="the third iteration")
    rates = ("s", "roll-out", "learn", "prompts/s", "efficiency", "peak GiB", "checksums")
    for column in ("model", "GPUs", "source", *rates):
        drawn.add_column(column, justify="left" if column in ("model", "source") else "right")
    for cell in cells:
        line, plan = lines.get(cell.name, {}), plans[cell.name]
        head = (f"{cell.model} {STRATEGY[cell.model]}", str(cell.devices))
        if "iteration" in line:
            took = cast("dict[str, float]", line["iteration"])
            rate = cell.prompts * cell.devices / took["time/iteration"]
            drawn.add_row(
                *head, "measured", f"{took['time/iteration']:.2f}", f"{took['time/roll_out']:.2f}",
                f"{took['time/learn']:.2f}", f"{rate:.2f}", efficiency(cell, cells, lines),
                f"{took.get('throughput/peak_gib', 0.0):.1f}", "equal" if line["ranks_agree"] else "DIFFERENT",
            )  # fmt: skip
        elif "error" in line:
            drawn.add_row(*head, str(line["error"]))
        if plan is not None:
            rate = cell.prompts * cell.devices / plan.seconds["whole"]
            drawn.add_row(
                *head, "plan" if plan.fits else "plan: does not fit", f"{plan.seconds['whole']:.2f}",
                f"{plan.seconds['roll-out']:.2f}", f"{plan.seconds['learning']:.2f}", f"{rate:.2f}", "",
                f"{plan.gib:.1f}", "",
            )  # fmt: skip
    return drawn


def efficiency(cell: Cell, cells: list[Cell], lines: dict[str, dict[str, object]]) -> str:
    """Seconds on the fewest GPUs that the model ran on, over seconds on these: 1 where more GPUs cost no time."""
    ran = [other for other in cells if other.model == cell.model and "iteration" in lines.get(other.name, {})]
    took = {other.devices: cast("dict[str, float]", lines[other.name]["iteration"])["time/iteration"] for other in ran}
    fewest = min(took)
    return f"{took[fewest] / took[cell.devices]:.2f} of {fewest}"


if __name__ == "__main__":
    main()
