"""`kairos plan` predicts memory of device and host, seconds and GPU-hours, with vLLM's memory among them."""

from __future__ import annotations

import re

import pytest

from kairos.commands.plan import plan
from kairos.compose import compose

PAPER = ["experiment=timezero_charades_7b", "data.annotations=a", "data.videos=v"]


def planned(*overrides: str) -> str:
    return plan(compose([*PAPER, *overrides], name="plan"))


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1].replace(",", ""))


def test_seconds_and_gpu_hours_follow_devices_answers_and_iterations():
    long, short = planned(), planned("answer_tokens=150")
    assert "estimated time on 4 H200(s)" in long and "1024 tokens an answer" in long
    seconds, hours = r"([\d.]+) s    an iteration", r"3,102 iterations, ([\d.]+) GPU-hours"
    assert number(hours, long) == pytest.approx(4 * 3102 / 3600 * number(seconds, long), rel=0.01)
    assert number(seconds, short) < 0.5 * number(seconds, long)
    assert number(r"([\d.]+) GiB  needed", short) == number(r"([\d.]+) GiB  needed", long), "memory is for the longest"
    assert "H200" not in planned("trainer=cpu", "strategy=single", "trainer.devices=1"), "there are no rates of a CPU"


def test_vllms_weights_and_cache_are_counted_where_they_are_held():
    sleeping = planned("rollout=vllm", "rollout.kv_cache_gib=40")
    awake = planned("rollout=vllm", "rollout.kv_cache_gib=40", "rollout.sleeps=false")
    live = planned()
    assert "40.0 GiB  vLLM: keys and values" in sleeping and "vLLM" not in live
    assert number(r"([\d.]+) GiB  vLLM: weights", sleeping) == pytest.approx(2 * 7.62e9 / 2**30, rel=0.02)
    need = r"([\d.]+) GiB  needed"
    assert number(need, awake) > number(need, sleeping), "what does not sleep lies beside learning"
    assert "rollout.kv_cache_gib=20" in sleeping and "rollout.prompts_at_once" not in sleeping
    assert "to vLLM" in sleeping


def test_the_hosts_memory_counts_processes_workers_features_and_checkpoints():
    trained, frozen = planned(), planned("policy.freeze=[vision]")
    assert "4 training process(es)" in trained and "8 loader workers each" in trained
    assert "features that are kept" not in trained and "32.0 GiB  features that are kept" in frozen
    gathered = planned("trainer.strategy.sharded_checkpoints=false")
    assert number(r"([\d.]+) GiB  a checkpoint while it is written", gathered) > 80
    assert "a checkpoint while it is written" not in trained, "each process writes its shards"
