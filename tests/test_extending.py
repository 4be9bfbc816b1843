"""The examples of docs/extending.md, a user's own reward, dataset and method, work as they are printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kairos.data.mini.world import MiniWorld

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()


def blocks(title: str) -> list[tuple[str, str]]:
    """(language, text) of every fenced block of a section; a `#` within a block is no heading."""
    body = PAGE.split(f"\n## {title}\n", 1)[1]
    found = []
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$|^#{2,3} ", body, re.DOTALL | re.MULTILINE):
        if match[1] is None:
            break
        found.append((match[1], match[2]))
    return found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that looks like the checkout to the examples, so that they write beside it and not into it."""
    clone = tmp_path / "clone"
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / "scripts").symlink_to(ROOT / "scripts")
    python = clone / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return clone


def run_example(title: str, clone: Path) -> Path:
    """Writes the files of a section, runs its command, and gives the folder of the run."""
    commands = []
    for language, text in blocks(title):
        if language == "bash":
            commands.append(text)
            continue
        name = re.match(r"(?:# @package \S+\n)?# (\.\./mine/\S+)\n", text)
        assert name, f"a {language} block of '{title}' does not begin with its file name"
        path = clone / name[1]
        path.resolve().parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert len(commands) == 1
    done = subprocess.run(["bash", "-euc", commands[0]], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    (metrics,) = (clone / "runs").glob("*/metrics.jsonl")
    return metrics.parent


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_reward_of_your_own(clone: Path):
    run = run_example("A reward", clone)
    assert [row for row in rows(run / "metrics.jsonl") if "reward/on_time" in row]
    assert all("on_time" in row["terms"] for row in rows(run / "rollouts.jsonl"))  # type: ignore[operator]


def test_a_dataset_of_your_own(clone: Path):
    mine = clone.parent / "mine"
    (mine / "videos").mkdir(parents=True)
    for split in ("train", "val"):
        reader = MiniWorld(folder=str(mine / "mini"), split=split, clips=2, tasks=["grounding"], workers=1)
        lines = []
        for record in reader.records():
            (span,), video = record.target.spans, Path(record.video.path)
            shutil.copy(video, mine / "videos" / f"{split}-{video.name}")
            lines.append(f"{split}-{video.name}\t{span.start}\t{span.end}\t{record.question}\n")
        (mine / f"{split}.tsv").write_text("".join(lines))
    run = run_example("A dataset", clone)
    assert {row["source"] for row in rows(run / "rollouts.jsonl")} == {"log_book"}


def test_a_method_of_your_own(clone: Path):
    run = run_example("A method", clone)
    assert "median.MedianCentred" in (run / "config.yaml").read_text()
    groups: dict[tuple[object, object], list[dict[str, object]]] = {}
    for row in rows(run / "rollouts.jsonl"):
        groups.setdefault((row["iteration"], row["uid"]), []).append(row)
    assert {iteration for iteration, _ in groups} == {1, 2} and len(groups) == 8
    for group in groups.values():
        assert len(group) == 4
        assert min(abs(row["advantage"]) for row in group) == 0, "one row of each group is its median"  # type: ignore[arg-type]


def test_every_file_that_the_table_of_seams_tells_to_copy_exists():
    rows = re.findall(r"^\|.*\|.*\|.*\| ([^|]+) \|$", PAGE.split("| seam |", 1)[1].split("\n## ", 1)[0], re.MULTILINE)
    files = [name for row in rows for name in re.findall(r"`([\w/]+\.py)`(?:: `(\w+)`)?", row)]
    assert len(files) > 12
    for name, member in files:
        path = next(p for p in (ROOT / "src" / "kairos" / name, ROOT / name) if p.exists())
        assert not member or f"class {member}" in path.read_text(), f"{name} has no {member}"
