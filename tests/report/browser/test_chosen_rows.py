"""Which rollouts a page holds where a run has more than fit."""

from __future__ import annotations

import json
from pathlib import Path

from kairos.report.browser.chosen_rows import choose


def written(file: Path, iterations: range, prompts: int = 2, rows: int = 3) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"iteration": at, "uid": f"u{prompt}", "row": row}
        for at in iterations
        for prompt in range(prompts)
        for row in range(rows)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def iterations(groups: tuple[tuple[dict[str, object], ...], ...]) -> list[object]:
    return list(dict.fromkeys(group[0]["iteration"] for group in groups))


def test_whole_iterations_are_shown_evenly_spaced_and_the_same_of_every_run(tmp_path: Path) -> None:
    one, two = written(tmp_path / "a.jsonl", range(1, 11)), written(tmp_path / "b.jsonl", range(1, 11))
    whole, *_ = choose([one, two, tmp_path / "absent.jsonl"])
    assert len(whole.groups) == 20 and whole.of_rollouts == 60 and whole.iterations == 10
    few = choose([one, two], most=48)
    assert [iterations(each.groups) for each in few] == [[1, 4, 7, 10]] * 2  # type: ignore[arg-type]
    assert [len(group) for group in few[0].groups] == [3] * 8 and few[0].of_iterations == 10
    assert iterations(choose([one], most_bytes=one.stat().st_size // 4)[0].groups) == [1, 10]  # type: ignore[arg-type]


def test_a_prompt_that_comes_twice_in_an_iteration_makes_two_groups_and_too_large_an_iteration_is_cut(tmp_path: Path):
    file = written(tmp_path / "a.jsonl", range(1, 2), prompts=1)
    file.write_text(file.read_text() * 2)
    (found,) = choose([file])
    assert [len(group) for group in found.groups] == [3, 3]
    (cut,) = choose([written(tmp_path / "b.jsonl", range(1, 2), prompts=50)], most=30)
    assert len(cut.groups) == 12 and cut.of_rollouts == 150, "whole groups, a fifth more than asked"
