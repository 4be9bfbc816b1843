"""Experiments at the papers' scale hold what the papers and their code state; what is unpublished says so.

The tables below were written by hand from the papers' hyper-parameter lists; each group names its source.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from kairos.compose import CONF, assemble, compose

Value = str | int | float | bool | list[str] | list[float] | list[int] | dict[str, int] | None
PATHS = ["data.annotations=annotations", "data.videos=videos"]
RANDOM = {"tspo_10k": ["answerer.policy.random_weights=true"]}
"""What draws weights instead of looking for a file, where it is not the policy's."""
RUBRIC = "reward.terms"

TIMEZERO: dict[str, Value] = {
    # released script (video budget: 3,584 tokens of 28 x 28, fps 2, at least 16 tokens a frame)
    "policy.weights": "Qwen/Qwen2.5-VL-7B-Instruct", "policy.freeze": [],
    "frames.fps": 2.0, "frames.min_pixels": 16 * 28**2, "frames.total_pixels": 3584 * 28**2, "frames.factor": 28,
    "sampling.group_size": 8, "sampling.temperature": 1.0, "sampling.max_actions": 1024,
    "prompts": 2, "trainer.devices": 4, "updates.epochs": 1, "updates.minibatches": 1, "updates.microbatch": 1,
    "optimizer.learning_rate": 1e-6, "optimizer.schedule": "linear", "optimizer.warmup": 0, "seed": 42,
    "callbacks.checkpoint.every": 50,
    # departures that are stated: the whole distribution instead of a top-k of 50 by accident
    "sampling.top_k": 0, "sampling.top_p": 1.0,
    # loss: iou + format, (r - mean) / (std + 1e-4), sequence mean, KL 0.04 (k3)
    f"{RUBRIC}.iou.weight": 1.0, f"{RUBRIC}.format.weight": 1.0, "shape._target_": "Identity",
    "injection._target_": "NoInjection", "gate._target_": "NoGate", "advantage.rule._target_": "GroupNormalized",
    "objective.terms.kl.coefficient": 0.04, "objective.terms.kl.estimator": "k3",
    "objective.aggregation._target_": "SequenceMean", "template._target_": "TimeZeroThink", "strategy": "fsdp2",
}  # fmt: skip
TIME_R1: dict[str, Value] = {
    **{k: v for k, v in TIMEZERO.items() if not k.startswith((f"{RUBRIC}.iou", "policy.freeze", "seed"))},
    # post-training: completions of 200, group token mean, merger trained, 8 devices of 1 x 2, 5 epochs of 2,500
    "policy.freeze": ["tower"], "sampling.max_actions": 200, "trainer.devices": 8, "iterations": 780,
    f"{RUBRIC}.tiou.weight": 1.0, f"{RUBRIC}.tiou.term._target_": "TimestampAwareIoU",
    "objective.aggregation._target_": "GroupTokenMean", "template._target_": "TimeR1Think",
    # sample filtering after every epoch: 0 < IoU <= 0.7
    "curriculum.refilter.selector.low": 0.0, "curriculum.refilter.selector.high": 0.7,
    "data.train.records._target_": "TimeR1Json",
}  # fmt: skip
TEMPORAL_R1: dict[str, Value] = {
    # run_qwen2_5_vl_3b_tvg.sh and grpo_example.yaml
    "policy.weights": "Qwen/Qwen2.5-VL-3B-Instruct", "policy.freeze": [],
    "frames.fps": 2.0, "frames.min_pixels": 4 * 28**2, "frames.total_pixels": 2048 * 28**2, "frames.factor": 28,
    "sampling.group_size": 8, "sampling.temperature": 1.0, "sampling.top_p": 1.0, "sampling.top_k": 0,
    "sampling.max_actions": 2048, "prompts": 2, "trainer.devices": 8,
    "updates.epochs": 1, "updates.minibatches": 1, "updates.microbatch": 1, "clip_norm": 1.0,
    "optimizer.learning_rate": 1e-6, "optimizer.betas": [0.9, 0.999], "optimizer.weight_decay": 0.01,
    "optimizer.warmup": 0, "optimizer.schedule": "constant", "seed": 1, "iterations": 15 * 12_408 // 16,
    "callbacks.checkpoint.every": 50,
    "objective.terms.kl.coefficient": 0.01, "objective.terms.kl.limit": 10.0, "objective.terms.kl.estimator": "k3",
    "objective.terms.entropy.coefficient": 0.001, "objective.aggregation._target_": "TokenMean",
    f"{RUBRIC}.iou.weight": 0.5, f"{RUBRIC}.format.weight": 0.5, "advantage.rule.epsilon": 1e-6,
    "shape._target_": "Identity", "injection._target_": "NoInjection", "template._target_": "TemporalR1",
}  # fmt: skip
RELEASED: dict[str, Value] = {
    # the repository's YAMLs: 14,336 tokens of 32 x 32
    "policy.weights": "Qwen/Qwen3.5-4B", "policy.freeze": ["vision"], "processor.thinking": False,
    "frames.fps": 2.0, "frames.max_frames": 768, "frames.min_pixels": 4096, "frames.max_pixels": 786_432,
    "frames.total_pixels": 14_336 * 32**2, "frames.factor": 32,
    "sampling.group_size": 8, "sampling.temperature": 1.0, "sampling.top_p": 0.85, "sampling.top_k": 0,
    "sampling.max_actions": 256, "prompts": 2, "trainer.devices": 8, "workers": 8, "seed": 42,
    "updates.epochs": 1, "updates.minibatches": 1, "clip_norm": 1.0, "iterations": 2000 // 16,
    "optimizer.learning_rate": 1e-6, "optimizer.betas": [0.9, 0.999], "optimizer.weight_decay": 0.01,
    "optimizer.warmup": 0.05, "optimizer.schedule": "constant", "callbacks.checkpoint.every": 20,
    "callbacks.validation": None,
    "objective.terms.surrogate.clip_low": 0.2, "objective.terms.surrogate.clip_high": 0.28,
    "objective.terms.kl": None, "objective.aggregation._target_": "TokenMean", "advantage.rule.epsilon": 1e-6,
    f"{RUBRIC}.iou.weight": 1.0, f"{RUBRIC}.format.weight": 0.1, "shape._target_": "LogExp",
    "injection._target_": "GroundTruth", "injection.slot": -1, "injection.overwrite": True,
    "template._target_": "TempSampReleased", "data.train.records._target_": "TempSampJsonl",
}  # fmt: skip
PAPER: dict[str, Value] = {
    # 4 devices, 1 x 2 prompts each, 2 epochs (answers, then thinking), 8 solutions of which one is the annotation
    "policy.weights": "Qwen/Qwen2.5-VL-7B-Instruct", "policy.freeze": [],
    "frames.fps": 2.0, "frames.total_pixels": 3584 * 28**2, "sampling.group_size": 8, "sampling.max_actions": 2048,
    "prompts": 2, "trainer.devices": 4, "updates.epochs": 1, "updates.minibatches": 1, "updates.microbatch": 1,
    "optimizer.learning_rate": 1e-6, "iterations": 2 * 12_408 // 8,
    f"{RUBRIC}.iou.weight": 1.0, "shape._target_": "LogExp", "injection._target_": "GroundTruth",
    "template.phases.answer.template._target_": "TempSampDirect", "template.phases.answer.epochs": 1,
    "template.phases.think.template._target_": "TempSampThink", "template.phases.think.epochs": 1,
}  # fmt: skip
TSPO: dict[str, Value] = {
    # train_deepspeed.sh and the defaults of its trainer; 8 A800, 1 x 2 prompts each, 1 epoch of 10,000
    "policy._target_": "TemporalAgent", "policy.window": 12, "policy.unused_projection": True, "policy.weights": None,
    "policy.choice._target_": "Independent", "enrich.clip.weights": "openai/clip-vit-large-patch14",
    "sampling.group_size": 8, "sampling.temperature": 0.025, "sampling.last": 0.01, "sampling.max_actions": 64,
    "rollout._target_": "FrameSets", "rollout.frames_by_task": {"needle": 16, "choice": 8},
    "prompts": 2, "trainer.devices": 8, "iterations": 10_000 // 16, "updates.epochs": 1, "updates.minibatches": 1,
    "optimizer.learning_rate": 5e-4, "optimizer.betas": [0.9, 0.999], "optimizer.weight_decay": 0.0,
    "optimizer.schedule": "linear", "optimizer.warmup": 0, "clip_norm": 1.0, "seed": 42,
    "callbacks.checkpoint.every": 100,
    # candidates: 1 a second; 12 distractors and 1 to 4 copies of 50 frames; 128 of a clip asked about as a whole
    "frames.fps": 1.0, "data.train.composition.distractors": 12, "data.train.composition.frames": 50,
    "data.train.composition.copies": [1, 4], "data.train.composition.most": 128,
    "data.train.records._target_": "TSPOJsonl",
    # the right letter and, for needles, the share of frames in the target, 1 : 1; no KL; mean over a set's frames
    f"{RUBRIC}.choice.weight": 1.0, f"{RUBRIC}.choice.term._target_": "Choice", f"{RUBRIC}.evidence.weight": 1.0,
    f"{RUBRIC}.evidence.tasks": ["needle"], f"{RUBRIC}.evidence.term._target_": "EvidenceShare",
    "advantage.rule._target_": "GroupNormalized", "shape._target_": "Identity",
    "objective.terms.kl": None, "objective.aggregation._target_": "SequenceMean", "gate._target_": "NoGate",
    # the answerer: greedy, at most 256 tokens where it writes
    "answerer.policy.weights": "lmms-lab/LLaVA-Video-7B-Qwen2", "answerer.max_tokens": 256,
    "template._target_": "LetterAlone",
}  # fmt: skip

TABLE: dict[str, dict[str, Value]] = {
    "timezero_charades_7b": {
        **TIMEZERO, "iterations": 2 * 12_408 // 8, "data.train.records._target_": "CharadesSTA",
    },
    "timezero_activitynet_7b": {**TIMEZERO, "data.train.records._target_": "ActivityNetCaptions"},
    "time_r1_timerft_7b": TIME_R1,
    "temporal_r1_charades_3b": TEMPORAL_R1,
    "tempsamp_timelens_4b": RELEASED,
    "tempsamp_charades_7b": PAPER,
    "tspo_10k": TSPO,
}  # fmt: skip
UNPUBLISHED = {
    "timezero_charades_7b": ["clip_norm", "weight_decay", "betas"],
    "timezero_activitynet_7b": ["iterations"],
    "time_r1_timerft_7b": ["seed", "clip_norm", "schedule", "warmup", "weight_decay", "betas"],
    "temporal_r1_charades_3b": ["workers"],
    "tempsamp_timelens_4b": [],
    "tempsamp_charades_7b": [
        "objective", "seed", "clip_norm", "temperature", "top_p", "schedule", "warmup", "weight_decay", "betas",
    ],
    "tspo_10k": ["workers", "schedule", "warmup"],
}  # fmt: skip


def value(config: DictConfig, key: str) -> Value:
    """A value of the configuration; of an object the name of its class alone, of a strategy its option."""
    if key == "strategy":
        return "fsdp2" if "FSDP2" in config.trainer.strategy._target_ else "other"
    found = OmegaConf.select(config, key)
    if isinstance(found, str) and key.endswith("_target_"):
        return found.rpartition(".")[2]
    return OmegaConf.to_container(found) if OmegaConf.is_config(found) else found  # type: ignore[return-value]


@pytest.mark.parametrize("experiment", TABLE)
def test_an_experiment_holds_the_papers_values(experiment: str):
    config = compose([f"experiment={experiment}", *PATHS])
    assert {key: value(config, key) for key in TABLE[experiment]} == TABLE[experiment]
    assert not OmegaConf.missing_keys(config), "a user adds paths and nothing else"


@pytest.mark.parametrize("experiment", TABLE)
def test_what_is_unpublished_carries_the_mark_on_its_line(experiment: str):
    lines = (Path(CONF) / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    for name in UNPUBLISHED[experiment]:
        (line,) = [line for line in lines if re.match(rf"\s*(- override /)?{name}:", line)]
        assert "# not published" in line, line


@pytest.mark.parametrize("experiment", TABLE)
def test_it_builds_and_says_nothing_of_a_file(experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    overrides = [
        f"experiment={experiment}",
        *PATHS,
        "trainer.accelerator=cpu",
        *RANDOM.get(experiment, ["policy.random_weights=true"]),
    ]
    built = assemble(compose(overrides), overrides)
    total = built.config.prompts * built.config.trainer.devices
    assert total == (8 if built.config.trainer.devices == 4 else 16), "prompts of an update, over all devices"
    assert not list(tmp_path.iterdir())


def test_the_released_repository_runs_on_another_family_too():
    config = compose(["experiment=tempsamp_timelens_4b", "policy=qwen3_vl_4b", *PATHS])
    assert config.policy.weights == "Qwen/Qwen3-VL-4B-Instruct" and config.policy.freeze == ["vision"]
    assert config.frames.factor == 32
