"""Rows of rollouts.jsonl made up by hand, for tests of pages."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, VideoClip
from kairos.runs.row_strips import save_row_strip


def row(iteration: int, uid: str, number: int, **more: object) -> dict[str, object]:
    start = float(number % 8)
    return {
        "iteration": iteration, "uid": uid, "task": "grounding", "source": "test", "row": number, "origin": "policy",
        "question": f"when does {uid} <b>fall</b>?", "text": f"<answer>{start} to {start + 2}</answer>",
        "actions": None,
        "length": 9, "truncated": False, "reward": number / 8, "terms": {"iou": number / 8},
        "advantage": number / 4 - 1, "weight": 1.0, "reason": None, "spans": [[start, start + 2]],
        "target": [[1.0, 2.5]], "choice": None, "duration": 10.0, **more,
    }  # fmt: skip


def run_of(folder: Path, rows: list[dict[str, object]]) -> Path:
    folder.mkdir(parents=True)
    (folder / "rollouts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    frames = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 3, 16, 24).contiguous() * 12
    clip = VideoClip("c", frames, torch.arange(20) / 2, 10.0)
    save_row_strip(Prompt("a", "grounding", "test", clip, "when?", Target(spans=(Span(1.0, 2.5),))), folder)
    return folder


def many_rows() -> list[dict[str, object]]:
    """10,000 rollouts of 1,250 groups, with texts of 180 characters."""
    return [row(at, f"u{at % 200}", number, text="so " * 60) for at in range(1, 1251) for number in range(8)]
