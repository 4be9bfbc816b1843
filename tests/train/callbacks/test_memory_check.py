"""A run that will not fit is refused before its weights are looked for, with its parts and what would help."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.scripting import load

from kairos.compose import build, compose

REAL = ["policy=qwen3_vl_2b", "data=toy", "frames=qwen3_14336", "callbacks.progress=null", "prompts=1", "iterations=1"]


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
    for lever in ("adapter=lora", "policy.freeze=[vision]", "total_pixels", "sampling.group_size=4", "objective="):
        assert lever in said
    assert "memory_check=warn tries it all the same" in said
    assert experiment.module.policy.model is None  # type: ignore[union-attr]


@pytest.mark.parametrize("override", ["memory_check=warn", "memory_check=off", "memory_gib=100000"])
def test_a_warning_or_enough_memory_lets_it_through(override: str, capsys: pytest.CaptureFixture[str]):
    experiment = build([*REAL, "memory_gib=24", override])
    check = next(c for c in experiment.trainer.callbacks if type(c).__name__ == "MemoryCheck")  # type: ignore[attr-defined]
    experiment.trainer.datamodule = experiment.datamodule  # type: ignore[attr-defined]
    check.setup(experiment.trainer, experiment.module, "fit")
    assert ("there is" in capsys.readouterr().out) == (override == "memory_check=warn")


def test_small_policies_pass_without_a_look():
    for policy, data in (("toy", "toy"), ("mini_random", "mini")):
        experiment = build([f"policy={policy}", f"data={data}", "memory_gib=0.000001"])
        check = next(c for c in experiment.trainer.callbacks if type(c).__name__ == "MemoryCheck")  # type: ignore[attr-defined]
        check.setup(experiment.trainer, experiment.module, "fit")


def test_an_unknown_check_is_one_clear_line():
    with pytest.raises(Exception, match="memory_check must be refuse, warn or off, got 'perhaps'"):
        build(["policy=toy", "data=toy", "memory_check=perhaps"])


def test_a_plan_needs_no_gpu_and_no_files(repository: Path):
    plan = load(repository, "plan").plan
    paths = ["data.annotations=nowhere", "data.videos=nowhere"]
    config = compose(["experiment=timezero_charades_7b", *paths, "memory_gib=60"], name="plan")
    text = plan(config)
    assert "8.29 B parameters trained" in text and "on 4 device(s)" in text
    assert "prompts of 3584 video + 256 text tokens, completions up to 1024, groups of 8" in text
    assert "60.0 GiB  there is" in text and "adapter=lora" in text
    assert "nothing to plan" in plan(compose(["policy=mini"], name="plan"))
    alone = plan(
        compose(["experiment=timezero_charades_7b", *paths, "strategy=single", "trainer.devices=1"], name="plan")
    )
    assert "30.9 GiB  trained weights, fp32" in alone and "there is" not in alone
