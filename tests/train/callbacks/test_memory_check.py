"""A run that will not fit is refused before its weights are looked for; one that ran out of memory is advised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from helpers.running import rows

from kairos.commands.plan import plan
from kairos.compose import Experiment, build, compose, train
from kairos.core.out_of_memory import OutOfMemory
from kairos.policy.memory.savings import WAYS_OUT
from kairos.train.callbacks.memory import MemoryCheck

REAL = ["policy=qwen3_vl_2b", "data=toy", "frames=qwen3_14336", "callbacks.progress=null", "prompts=1", "iterations=1"]

TINY = [
    "policy=qwen3_vl_2b", "policy.random_weights=true", "data=mini", "data.clips=2", "data.val_clips=1", "frames=mini",
    "template=answer", "prompts=1", "iterations=1",
    "sampling.group_size=2", "sampling.max_actions=4", "callbacks.progress=null", "callbacks.validation=null",
    "callbacks.checkpoint.every=1", "policy.config.text.hidden_size=64", "policy.config.text.intermediate_size=128",
    "policy.config.text.num_hidden_layers=2", "policy.config.text.num_attention_heads=4",
    "policy.config.text.head_dim=16", "policy.config.text.num_key_value_heads=2",
    "policy.config.text.rope_parameters.mrope_section=[4,2,2]",
    "policy.config.vision.depth=2", "policy.config.vision.hidden_size=32", "policy.config.vision.num_heads=2",
    "policy.config.vision.intermediate_size=64", "policy.config.vision.out_hidden_size=64",
    "policy.config.vision.deepstack_visual_indexes=[0]",
]  # fmt: skip
"""A policy whose sizes are configured, small enough to train on a CPU."""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_that_will_not_fit_is_refused_before_the_download():
    """Without network a download would fail with another error; the fit never gets there."""
    experiment = build([*REAL, "memory_gib=24"])
    with pytest.raises(ValueError, match="it will not fit") as refused:
        experiment.trainer.fit(experiment.module, experiment.datamodule)
    said = str(refused.value)
    for word in ("trained weights", "gradients", "moments", "reference", "keys and values", "activations", "24.0 GiB"):
        assert word in said
    for advised in ("adapter=lora", "policy.freeze=[vision]", "total_pixels", "sampling.group_size=4", "objective="):
        assert advised in said
    assert "memory_check=warn tries it all the same" in said
    assert experiment.module.policy.model is None  # type: ignore[union-attr]


@pytest.mark.parametrize("override", ["memory_check=warn", "memory_check=off", "memory_gib=100000"])
def test_a_warning_or_enough_memory_lets_it_through(override: str, capsys: pytest.CaptureFixture[str]):
    experiment = build([*REAL, "memory_gib=24", override])
    check = check_of(experiment)
    experiment.trainer.datamodule = experiment.datamodule  # type: ignore[attr-defined]
    check.setup(experiment.trainer, experiment.module, "fit")
    assert ("there is" in capsys.readouterr().out) == (override == "memory_check=warn")


def check_of(experiment: Experiment) -> MemoryCheck:
    (found,) = [c for c in experiment.trainer.callbacks if isinstance(c, MemoryCheck)]  # type: ignore[attr-defined]
    return found


def test_small_policies_pass_without_a_look():
    for policy, data in (("toy", "toy"), ("mini_random", "mini")):
        experiment = build([f"policy={policy}", f"data={data}", "memory_gib=0.000001"])
        check_of(experiment).setup(experiment.trainer, experiment.module, "fit")


def out_of_memory(module: object, inputs: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_a_fit_without_an_estimate_that_runs_out_of_memory_names_everything_that_can_be_changed():
    experiment = build(["policy=toy", "data=toy", "objective=surrogate", "iterations=1", "callbacks.progress=null"])
    experiment.module.policy.register_forward_pre_hook(out_of_memory)
    with pytest.raises(OutOfMemory, match=r"while learning from the rollouts: CUDA.*2\.00 GiB") as failed:
        experiment.trainer.fit(experiment.module, experiment.datamodule)
    assert failed.value.advice == WAYS_OUT


def test_a_run_whose_sizes_are_known_names_what_each_change_would_save():
    experiment = build([*REAL, "memory_check=off"])
    error = OutOfMemory("scoring 8 rows", "CUDA out of memory")
    check_of(experiment).on_exception(experiment.trainer, experiment.module, error)
    said = str(error)
    assert said.startswith("out of memory while scoring 8 rows: CUDA out of memory\nthis run: estimated memory")
    assert re.search(r"\d GiB  adapter=lora  \(-> \d+\.\d GiB\)", said) and "no copy for a reference" in said


def test_a_refused_run_goes_on_in_its_folder_when_it_is_only_to_be_warned(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match="memory_check=warn tries it all the same"):
        train([*TINY, "memory_gib=0.001"], Path("mine"))
    assert train([*TINY, "memory_gib=0.001", "memory_check=warn"], Path("mine")) == Path("mine")
    assert "0.0 GiB  there is" in capsys.readouterr().out
    assert len(rows(Path("mine/metrics.jsonl"))) == 1
    train([*TINY, "iterations=2"], Path("mine"))
    assert len(rows(Path("mine/metrics.jsonl"))) == 2


def test_an_unknown_check_is_one_clear_line():
    with pytest.raises(Exception, match="memory_check=perhaps: memory_check must be refuse or warn or off"):
        build(["policy=toy", "data=toy", "memory_check=perhaps"])


def test_a_plan_needs_no_gpu_and_no_files():
    paths = ["data.annotations=nowhere", "data.videos=nowhere"]
    config = compose(["experiment=timezero_charades_7b", *paths, "memory_gib=60"], name="plan")
    text = plan(config)
    assert "8.29 B parameters trained" in text and "on 4 device(s)" in text
    assert "prompts of 3584 video + 256 text tokens, completions up to 1024, groups of 8" in text
    assert "60.0 GiB  there is" in text and "adapter=lora" in text
    assert "no memory to plan" in plan(compose(["policy=mini"], name="plan"))
    alone = plan(
        compose(["experiment=timezero_charades_7b", *paths, "strategy=single", "trainer.devices=1"], name="plan")
    )
    assert "30.9 GiB  trained weights, fp32" in alone and "there is" not in alone
