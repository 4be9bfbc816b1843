"""How long the help of every command takes: `python benchmarks/help.py`; writes results/help.json.

The shortest and the longest of several runs, each a process of its own, one after the other.
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


def seconds_of(arguments: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


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
        times = [seconds_of(arguments) for _ in range(given.repeats)]
        found[name] = {"shortest": round(min(times), 3), "longest": round(max(times), 3)}
        print(f"{name:<28} {min(times):.3f} to {max(times):.3f} s")
    result = {
        "command": "python benchmarks/help.py",
        "machine": {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "python": platform.python_version()},
        "repeats": given.repeats,
        "seconds": found,
    }
    given.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
