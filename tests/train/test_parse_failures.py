"""Why answers could not be read, by reason: a share of the rollouts, in every iteration, 0 where it did not happen."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import TOY, fit, rows

from kairos.compose import build
from kairos.rollout.scripted import Scripted


def span(start: float, end: float) -> str:
    return f"<answer>{start:.1f} to {end:.1f}</answer>"


def parse_counters(run: Path) -> list[dict[str, float]]:
    return [
        {name: float(str(value)) for name, value in row.items() if name.startswith("parse/")}
        for row in rows(run / "metrics.jsonl")
    ]


def test_every_reason_is_logged_in_every_iteration_and_all_add_up_to_the_failures():
    """One prompt an iteration: answered well and badly, well, and with an empty span."""
    texts = {
        "toy/train-0/0000": [span(1, 2), span(2, 1), span(3, 3), span(3, 4)],
        "toy/train-0/0001": [span(1, 2)],
        "toy/train-0/0002": [span(5, 5)],
    }
    run = build(
        [*TOY, "name=a", "prompts=1", "iterations=3", "sampling.group_size=4", "curriculum=in_order",
         "objective=surrogate", "callbacks.validation.every=0"]
    )  # fmt: skip
    run.module.engine = Scripted(texts)
    run.trainer.fit(run.module, run.datamodule)
    logged = parse_counters(run.folder)
    assert len(logged) == 3 and len({frozenset(row) for row in logged}) == 1, "the same names in every iteration"
    assert [row["parse/failures"] for row in logged] == [0.5, 0.0, 1.0]
    assert [row["parse/reversed_span"] for row in logged] == [0.25, 0.0, 0.0]
    assert [row["parse/empty_span"] for row in logged] == [0.25, 0.0, 1.0]
    for row in logged:
        assert sum(row.values()) == pytest.approx(2 * row["parse/failures"])


def test_a_policy_whose_answers_nobody_reads_has_none():
    run = fit("name=a", "experiment=frame_toy", "policy=frame_agent", "data=toy_frames", "iterations=1")
    assert [{*row} for row in parse_counters(run.folder)] == [{"parse/failures"}]
