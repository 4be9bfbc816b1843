"""How long the help of every command takes: `python benchmarks/help.py`; writes results/help.json.

The shortest and the longest of several runs, each a process of its own, one after the other, and the time of the
processor in the shortest, which other programs on the machine do not lengthen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from kairos.entry.described import commands

ROOT = Path(__file__).resolve().parents[1]


def seconds_of(arguments: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - begun, os.times()
    return seconds, sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "help.json")
    given = parser.parse_args()
    asked = {f"{name}.py --help": [f"scripts/{name}.py", "--help"] for name in commands()}
    asked |= {"train.py --help groups": ["scripts/train.py", "--help", "groups"], "kairos": ["-m", "kairos"]}
    os.chdir(ROOT)
    found = {}
    for name, arguments in asked.items():
        times = sorted(seconds_of(arguments) for _ in range(given.repeats))
        (shortest, processor), (longest, _) = times[0], times[-1]
        found[name] = {"shortest": round(shortest, 3), "longest": round(longest, 3), "processor": round(processor, 3)}
        print(f"{name:<28} {shortest:.3f} to {longest:.3f} s, {processor:.3f} s of the processor")
    result = {
        "command": "python benchmarks/help.py",
        "machine": {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "python": platform.python_version()},
        "repeats": given.repeats,
        "seconds": found,
    }
    given.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
