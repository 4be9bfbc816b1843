"""Measures seconds and memory of every paper-scale experiment: two iterations, on generated clips of its size.

    python benchmarks/papers.py                                # those that fit one GPU
    python benchmarks/papers.py --experiments timezero_charades_7b --devices 4      # 7B, sharded over four
    python benchmarks/papers.py --experiments tempsamp_timelens_4b --set policy=qwen3_vl_4b --label "as Qwen3-VL"

Random weights and the method, prompts' wording, budget and micro-batches of the experiment; clips of the mini world at
640x360, 31 s for Charades and 150 s otherwise. `--prompts` of them an iteration and device (2 by default).
Writes results/papers.json: visual tokens a prompt and their share of the budget, seconds, seconds a phase, peak GiB.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from measuring import machine, store, stored
from rich.console import Console
from rich.table import Table
from whole_runs import BARE, iterated

from kairos.compose import compose, part
from kairos.core.types import Prompt
from kairos.policy.network.layouts import layout_of
from kairos.policy.processor import LanguageProcessor
from kairos.train.feed.datamodule import PromptDataModule
from kairos.video.budget import PixelBudget

ONE_GPU = ["temporal_r1_charades_3b", "tempsamp_timelens_4b"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", nargs="*", default=ONE_GPU)
    parser.add_argument("--devices", type=int, default=1, help="GPUs; more than one shards the weights over them")
    parser.add_argument("--prompts", type=int, default=2, help="on each device")
    parser.add_argument(
        "--tokens", type=int, default=None, help="of a completion at most; the experiment's own if left out"
    )
    parser.add_argument("--set", nargs="*", default=[], help="further overrides")
    parser.add_argument("--label", default="", help="what the further overrides are called in the table")
    parser.add_argument("--minutes", type=float, default=8.5, help="no experiment begins after this")
    parser.add_argument("--out", type=Path, default=Path("results/papers.json"))
    options = parser.parse_args()
    begun, console = time.monotonic(), Console(width=150)
    whole = stored(options.out)
    lines = cast("dict[str, dict[str, object]]", whole.setdefault("runs", {}))
    for experiment in options.experiments:
        name = " ".join(filter(None, [experiment, options.label, f"on {options.devices}"]))
        if name in lines:
            continue
        if time.monotonic() - begun > 60 * options.minutes:
            break
        lines[name] = measure(experiment, options, console)
        whole["machine"] = machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        store(options.out, whole)
    show(console, lines)


def measure(experiment: str, options: argparse.Namespace, console: Console) -> dict[str, object]:
    overrides = overrides_of(experiment, options.devices, options.prompts, options.tokens, options.set)
    facts = tokens_of(overrides)
    label = re.sub(r"[^a-z0-9]+", "-", options.label.lower())
    run = Path("runs") / "-".join(filter(None, ["papers", experiment, label, str(options.devices)]))
    took = iterated(run, overrides, options.devices, number=2)
    if took is None:
        console.print(f"{experiment} failed, see above")
        return {**facts, "error": "the run failed"}
    return {**facts, "prompts": options.prompts, "devices": options.devices, "iteration": took}


def overrides_of(experiment: str, devices: int, prompts: int, tokens: int | None, more: Sequence[str]) -> list[str]:
    """The command line of a run of two iterations on clips of the experiment's length."""
    seconds = 31 if "charades" in experiment else 150
    return [
        f"experiment={experiment}", "data=mini_large", f"data.seconds={seconds}", "data.clips=6", "data.val_clips=1",
        "data.tasks=[grounding]", "policy.random_weights=true", "iterations=2", "workers=4",
        f"trainer.devices={devices}", f"prompts={prompts}", "rollout.prompts_at_once=1",
        *BARE, "strategy=fsdp2" if devices > 1 else "strategy=single",
        *([f"sampling.max_actions={tokens}"] if tokens else []), *more,
    ]  # fmt: skip


def tokens_of(overrides: list[str]) -> dict[str, object]:
    """Visual tokens of the first prompt, and the most that the budget gives any clip."""
    config = compose(overrides)
    data = cast("PromptDataModule", part(config.datamodule))
    prompt, budget = data.dataset("train")[0], cast("PixelBudget", part(config.frames))
    assert isinstance(prompt, Prompt)
    processor = cast("LanguageProcessor", part(config.processor))
    ids = layout_of(prompt).ids_L
    visual = int((ids == processor.markers.pad).sum())
    most = budget.total_pixels // budget.factor**2 if budget.total_pixels else None
    return {"prompt_tokens": len(ids), "visual_tokens": visual, "budget_tokens": most}


def show(console: Console, lines: dict[str, dict[str, object]]) -> None:
    table = Table(title="two iterations of every experiment; the second")
    for column in (
        "experiment",
        "visual tokens",
        "of budget",
        "prompts",
        "s",
        "roll-out",
        "learn",
        "tokens a row",
        "peak GiB",
    ):
        table.add_column(column, justify="left" if column == "experiment" else "right")
    for name, line in lines.items():
        visual, most = cast("int", line["visual_tokens"]), cast("int | None", line["budget_tokens"])
        head = (name, str(visual), f"{visual / most:.0%}" if most else "")
        if "error" in line:
            table.add_row(*head, str(line["error"]))
            continue
        row = cast("dict[str, float]", line["iteration"])
        table.add_row(
            *head, f"{line['prompts']} x {line['devices']}", f"{row['time/iteration']:.2f}",
            f"{row['time/roll_out']:.2f}", f"{row['time/learn']:.2f}", f"{row['rollout/length']:.0f}",
            f"{row.get('throughput/peak_gib', 0.0):.1f}",
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
