"""Measures the shape that EasyVideoR1 publishes a step time for: Qwen3-VL-8B, 256 frames, 18,432 visual tokens, G 8.

    python benchmarks/rival.py                                 # two H200s: answers of 256, 1,024 and 2,048 tokens
    python benchmarks/rival.py --set rollout=vllm --label vllm
    python benchmarks/rival.py --tiny --out tiny.json          # the mini model in two processes of a CPU

Whole runs of two iterations on generated clips of 150 s, random weights (so every answer is as long as it may be), full
fine-tuning with a frozen tower, FSDP2, one prompt a GPU; the second iteration counts. Beside each line stands the
prediction of `kairos plan`. A finished line is kept. Writes results/rival.json.
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
from papers import overrides_of
from rich.console import Console
from rich.table import Table
from scaling import TINY
from whole_runs import BARE, Prediction, iterated, predicted

PUBLISHED = 131.9 * 32 / 32  # GPU-seconds a prompt: seconds a step, times GPUs, over prompts (arXiv 2604.16893)
UNKNOWN = (
    "Published: 131.9 s a step of 32 prompts x 8 on 32 H200s, at most 256 frames, about 19,000 tokens a row.",
    "Not known of it: how long the answers are; how many frames and tokens the prompts have below these bounds; "
    "whether the tower is trained; whether validation, checkpoints or waits for data are in it; what is offloaded.",
    "Ours: two GPUs of one host, so no network between hosts; random weights, so every answer reaches its limit.",
)
SHAPE = [
    "policy=qwen3_vl_8b", "policy.freeze=[vision]", "frames.max_frames=256", f"frames.total_pixels={18432 * 32 * 32}",
    "sampling.group_size=8",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", nargs="*", type=int, default=[256, 1024, 2048], help="of an answer")
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--prompts", type=int, default=1, help="on each GPU")
    parser.add_argument("--set", nargs="*", default=[], help="further overrides")
    parser.add_argument("--label", default="", help="what the further overrides are called in the table")
    parser.add_argument("--minutes", type=float, default=6.0, help="no run begins after this; one takes up to three")
    parser.add_argument("--tiny", action="store_true", help="the mini model on a CPU, one process a device")
    parser.add_argument("--out", type=Path, default=Path("results/rival.json"))
    options = parser.parse_args()
    begun, console, whole = time.monotonic(), Console(width=140), stored(options.out)
    lines = cast("dict[str, dict[str, object]]", whole.setdefault("lines", {}))
    plans: dict[str, Prediction | None] = {}
    for tokens in options.tokens:
        name = " ".join(filter(None, [f"{tokens} tokens", options.label, f"on {options.devices} x {options.prompts}"]))
        overrides = options_of(tokens, options)
        plans[name] = None if options.tiny else predicted(overrides, options.devices)
        late = time.monotonic() - begun > 60 * options.minutes
        if name in lines or late or not (options.tiny or torch.cuda.device_count() >= options.devices):
            continue
        run = Path("runs") / ("rival-" + re.sub(r"[^a-z0-9]+", "-", name.lower()))
        took = iterated(run, overrides, options.devices, number=2)
        lines[name] = {"error": "the run failed"} if took is None else {"iteration": took, "prompts": options.prompts}
        whole |= {"machine": machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))}
        whole |= {"published_gpu_seconds_a_prompt": PUBLISHED, "unknown": UNKNOWN}
        store(options.out, whole)
    console.print(table({**{name: {} for name in plans}, **lines}, plans, options.prompts))
    for sentence in UNKNOWN:
        console.print(sentence)


def options_of(tokens: int, options: argparse.Namespace) -> list[str]:
    """The command line of a run with answers of so many tokens."""
    if options.tiny:
        shape: Sequence[str] = (
            *TINY, *BARE, "strategy=fsdp2", f"trainer.devices={options.devices}", f"prompts={options.prompts}",
            "data.tasks=[grounding]", "objective=surrogate", "template=answer", "iterations=2",
        )  # fmt: skip
        return [*shape, f"sampling.max_actions={tokens}", *options.set]
    return overrides_of("tempsamp_timelens_4b", options.devices, options.prompts, tokens, [*SHAPE, *options.set])


def table(lines: dict[str, dict[str, object]], plans: dict[str, Prediction | None], prompts: int) -> Table:
    """GPU-seconds a prompt of every line, measured and predicted, and the published figure."""
    drawn = Table(title="GPU-seconds a prompt")
    for column in ("answers", "source", "whole", "roll-out", "learning", "peak GiB"):
        drawn.add_column(column, justify="left" if column in ("answers", "source") else "right")
    for name, line in lines.items():
        if "iteration" in line:
            took, count = cast("dict[str, float]", line["iteration"]), cast("int", line["prompts"])
            shown = [took[f"time/{phase}"] / count for phase in ("iteration", "roll_out", "learn")]
            peak = f"{took.get('throughput/peak_gib', 0.0):.1f}"
            drawn.add_row(name, "measured", *[f"{seconds:.2f}" for seconds in shown], peak)
        elif "error" in line:
            drawn.add_row(name, str(line["error"]))
        plan = plans.get(name)
        if plan is not None:
            shown = [plan.seconds[phase] / prompts for phase in ("whole", "roll-out", "learning")]
            drawn.add_row(name, "plan", *[f"{seconds:.2f}" for seconds in shown], f"{plan.gib:.1f}")
    drawn.add_row("not said", "EasyVideoR1, published", f"{PUBLISHED:.1f}")
    return drawn


if __name__ == "__main__":
    main()
