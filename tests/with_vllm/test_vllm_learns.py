"""The whole loop learns the mini world with vLLM's rollouts as it does with the policy's own, also one step ahead."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from statistics import fmean, pstdev

import pytest
from helpers.running import curve, rows

from kairos.compose import build

ITERATIONS, PROMPTS, GROUP = 10, 2, 8
MINI = [
    "experiment=quickstart", f"only_first={PROMPTS}", "policy.freeze=[vision]", "data.clips=4", "trainer=cpu",
    "callbacks.progress=null", "callbacks.validation=null", "evaluate=none", f"iterations={ITERATIONS}",
    f"prompts={PROMPTS}", f"sampling.group_size={GROUP}", "optimizer.learning_rate=2e-4",
    "callbacks.checkpoint.every=100",
]  # fmt: skip
"""Two questions of the mini world, asked in every iteration: their answers get better at once."""
SMALL = ["rollout.kv_cache_gib=0.5", "rollout.context=1024", "rollout.rows=32"]
ENGINES = {"live": [], "vllm": SMALL, "ahead": ["rollout.ahead=1", *SMALL]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A run with either engine, and one with vLLM an iteration ahead: same prompts, other random numbers."""
    folder = tmp_path_factory.mktemp("learns")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = {}
        for name, options in ENGINES.items():
            engine = "live" if name == "live" else "vllm"
            run = build([*MINI, f"rollout={engine}", f"name={name}", *options])
            run.trainer.fit(run.module, run.datamodule)
            found[name] = run.folder
        yield found


def rewards_of(run: Path) -> list[float]:
    return [float(row["reward"]) for row in rows(run / "rollouts.jsonl")]  # type: ignore[arg-type]


@pytest.mark.timeout(900)
def test_the_reward_rises_as_with_the_live_engine(runs: dict[str, Path]):
    """Curves may differ by 3 standard deviations of the difference of two means of as many independent rewards.

    A run that is ahead learns from older rows, so its curve is another one: it has to rise.
    """
    live = rewards_of(runs["live"])
    assert len(live) == ITERATIONS * PROMPTS * GROUP
    other = rewards_of(runs["vllm"])
    assert len(other) == len(live)
    for part in (slice(0, None), slice(len(live) // 2, None)):
        ours, theirs = live[part], other[part]
        noise = 3 * pstdev([*ours, *theirs]) * sqrt(2 / len(ours))
        assert abs(fmean(ours) - fmean(theirs)) < noise, (part, fmean(ours), fmean(theirs), noise)
    for name, run in runs.items():
        rewards = curve(run, "reward/total")
        third = ITERATIONS // 3
        assert fmean(rewards[-third:]) > fmean(rewards[:third]) + 0.03, (name, rewards)


def test_every_step_says_how_far_sampled_and_scored_log_probs_are_apart(runs: dict[str, Path]):
    for engine in ("live", "vllm"):
        means, largest, beyond = (
            curve(runs[engine], f"policy/sampling_gap{part}") for part in ("", "_largest", "_beyond")
        )
        assert len(means) == len(largest) == len(beyond) == ITERATIONS
        assert 0 < max(means) < 1e-4 and max(largest) < 1e-2 and not any(beyond), engine
        assert all(mean <= most for mean, most in zip(means, largest, strict=True))
    written = [row["text"] for row in rows(runs["vllm"] / "rollouts.jsonl")]
    assert all(text.startswith("<answer>") for text in written[-PROMPTS * GROUP :])
    assert curve(runs["ahead"], "rollout/staleness") == [0.0] + [1.0] * (ITERATIONS - 1)
    assert curve(runs["ahead"], "policy/sampling_gap")[0] < 1e-4 < max(curve(runs["ahead"], "policy/sampling_gap"))
