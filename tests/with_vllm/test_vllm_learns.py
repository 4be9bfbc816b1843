"""The whole loop learns the mini world with vLLM's rollouts as it does with the policy's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pytest
from helpers.running import curve, rows

from kairos.compose import build

ITERATIONS = 12
MINI = [
    "experiment=quickstart", "trainer=cpu", "callbacks.progress=null", "callbacks.validation=null",
    "callbacks.evaluation=null", f"iterations={ITERATIONS}",
]  # fmt: skip
NOISE = 0.12
"""Largest distance of two means over `ITERATIONS` x 128 rewards that chance explains (3 standard deviations)."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A run with either engine: same prompts, other random numbers."""
    folder = tmp_path_factory.mktemp("learns")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = {}
        for engine, options in (("live", []), ("vllm", ["rollout.kv_cache_gib=0.5", "rollout.context=1024"])):
            run = build([*MINI, f"rollout={engine}", f"name={engine}", *options])
            run.trainer.fit(run.module, run.datamodule)
            found[engine] = run.folder
        yield found


@pytest.mark.timeout(1800)
def test_the_reward_rises_as_with_the_live_engine(runs: dict[str, Path]) -> None:
    live, vllm = (curve(runs[engine], "reward/total") for engine in ("live", "vllm"))
    assert len(live) == len(vllm) == ITERATIONS
    assert abs(fmean(live) - fmean(vllm)) < NOISE, (live, vllm)
    assert abs(fmean(live[-4:]) - fmean(vllm[-4:])) < NOISE, (live, vllm)
    for rewards in (live, vllm):
        assert fmean(rewards[-4:]) > fmean(rewards[:4]) + 0.03, rewards


def test_every_step_says_how_far_sampled_and_scored_log_probs_are_apart(runs: dict[str, Path]) -> None:
    for engine in ("live", "vllm"):
        means, largest, beyond = (
            curve(runs[engine], f"policy/sampling_gap{part}") for part in ("", "_largest", "_beyond")
        )
        assert len(means) == len(largest) == len(beyond) == ITERATIONS
        assert 0 < max(means) < 1e-4 and max(largest) < 1e-2 and not any(beyond), engine
        assert all(mean <= most for mean, most in zip(means, largest, strict=True))
    written = [row["text"] for row in rows(runs["vllm"] / "rollouts.jsonl")]
    assert len(written) == ITERATIONS * 128 and all(text.startswith("<answer>") for text in written[-128:])
