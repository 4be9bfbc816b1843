"""Measures one GRPO iteration: seconds per phase, and the share of them in which the GPU computes.

    python benchmarks/iteration.py                             # Qwen2.5-VL-3B on one GPU, 4 and 16 prompts x 8
    python benchmarks/iteration.py --policy mini --prompts 2 --set trainer=cpu frames=mini data=mini data.clips=4 \\
        data.val_clips=2 sampling.max_actions=8                # tiny, on a CPU

A whole run: clips of the mini world at 640x360, rendered and cached beforehand (31 s, 62 frames, about 4,096 visual
tokens a prompt), random weights, a frozen tower whose features are stored. Two iterations warm
up; the third is profiled. Writes results/iteration.json; the runs lie in runs/iteration-<prompts>.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast

import torch
from measuring import iteration_of, machine, store, stored
from rich.console import Console
from rich.table import Table

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
SIZE = ["data=mini_large", "frames=qwen2_5_3584", f"frames.total_pixels={4096 * 28 * 28}", "trainer=gpu", "workers=8"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="qwen2_5_vl_3b", help="an option of conf/policy")
    parser.add_argument("--prompts", nargs="*", type=int, default=[4, 16])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--set", nargs="*", default=[], help="further overrides, for tiny trials")
    parser.add_argument("--out", type=Path, default=Path("results/iteration.json"))
    options = parser.parse_args()
    console, whole = Console(width=140), stored(options.out)
    lines = cast("dict[str, dict[str, object]]", whole.setdefault("prompts", {}))
    random = [] if options.policy.startswith("mini") else ["policy.random_weights=true"]
    common = [
        *SIZE, f"policy={options.policy}", *random, "policy.freeze=[vision]", "features=memory",
        "data.clips=24", "data.val_clips=2", "data.tasks=[grounding]", "objective=surrogate",
        f"sampling.max_actions={options.tokens}", "updates.microbatch=1",
    ]  # fmt: skip
    cached = [o for o in (*common, *options.set) if o.split("=")[0].split(".")[0] in ("data", "frames", "workers")]
    subprocess.run([sys.executable, SCRIPTS / "cache_videos.py", *cached], check=True)
    for count in options.prompts:
        run = Path("runs") / f"iteration-{count}"
        shutil.rmtree(run, ignore_errors=True)
        bare = [
            "evaluate=none",
            "callbacks=profile",
            "callbacks.validation=null",
            "callbacks.export=null",
            "callbacks.checkpoint=null",
        ]
        command = [
            sys.executable, SCRIPTS / "train.py", *common, *bare, f"name={run.name}", f"prompts={count}",
            "iterations=3", *options.set,
        ]  # fmt: skip
        if subprocess.run(command, check=False).returncode:
            console.print(f"{count} prompts: the run failed, see above")
            continue
        facts = json.loads((run / "profile.json").read_text(encoding="utf-8"))
        phases = {
            name: value for name, value in iteration_of(run, 3).items() if name.startswith(("time/", "throughput/"))
        }
        lines[str(count)] = {"phases": phases, "unwatched": iteration_of(run, 2)["time/iteration"], **facts}
        store(options.out, {**whole, "policy": options.policy, "machine": machine(torch.device(_device()))})
    show(console, lines)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def show(console: Console, lines: dict[str, dict[str, object]]) -> None:
    names = sorted({name for line in lines.values() for name in cast("dict[str, float]", line["phases"])})
    table = Table(title="seconds of the third iteration, and rates")
    table.add_column("")
    for count in lines:
        table.add_column(f"{count} prompts", justify="right")
    for name in names:
        values = [cast("dict[str, float]", line["phases"]).get(name) for line in lines.values()]
        table.add_row(name, *["" if value is None else f"{value:.3f}" for value in values])
    table.add_row("second iteration, not watched", *[f"{line['unwatched']:.3f}" for line in lines.values()])
    shares = [line.get("gpu_share") for line in lines.values()]
    table.add_row("share of time the GPU computes", *["" if share is None else f"{share:.3f}" for share in shares])
    phases = sorted(
        {name for line in lines.values() for name in cast("dict[str, float]", line.get("gpu_share_of_phases", {}))}
    )
    for name in phases:
        values = [cast("dict[str, float]", line.get("gpu_share_of_phases", {})).get(name) for line in lines.values()]
        table.add_row(f"  of {name}", *["" if value is None else f"{value:.3f}" for value in values])
    console.print(table)
    for count, line in lines.items():
        for kernel in cast("list[dict[str, object]]", line.get("kernels", []))[:12]:
            console.print(f"{count} prompts: {kernel['seconds']:.3f} s, {kernel['calls']} x {str(kernel['name'])[:90]}")


if __name__ == "__main__":
    main()
