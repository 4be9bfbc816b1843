"""Checkpoints whose ranks write their own shards: resumed bit for bit, on other devices too, and used everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import assert_same_run, curve, fit, metrics, weights
from helpers.scripting import Script
from helpers.sharded_runs import ADAPTER_OVER_SHARDS, TWO, WORDS, train_in_turn
from peft import PeftModel
from transformers import Qwen3VLForConditionalGeneration

from kairos.compose import build
from kairos.policy.models.checkpoints import load
from kairos.train.callbacks.checkpoint import newest

TOY = [
    "data=toy", "policy=toy", "template=answer", "trainer=cpu", "callbacks.progress=null", "evaluate=none",
    "callbacks.validation.every=2", "callbacks.checkpoint.every=1", "callbacks.checkpoint.keep=all", "optimizer=adamw",
    "optimizer.learning_rate=0.05", "curriculum=refilter",
]  # fmt: skip
DDP = ["trainer.devices=2", "prompts=2", "strategy=ddp"]
POISON = "+objective.terms.poison={_target_: fault_kinds.poison.Poison, updates: [2], rank: 1}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sharded")


@pytest.fixture(scope="module")
def runs(place: Path, repository: Path) -> Path:
    """The folder of runs of two processes, all made by one launch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        fit(*TOY, "prompts=4", "iterations=2", "name=from_one")
    turns = [
        [*TOY, *TWO, "iterations=4", "name=whole"],
        [*TOY, *TWO, "iterations=2", "name=part"],
        [*TOY, *TWO, "iterations=4", "name=part"],
        [*TOY, *TWO, "iterations=2", "name=to_one"],
        [*TOY, *TWO, "iterations=2", "name=to_ddp"],
        [*TOY, *DDP, "iterations=4", "name=to_ddp"],
        [*TOY, *TWO, "iterations=4", "name=from_one"],
        [*TOY, *TWO, "iterations=4", "name=one_file", "trainer.strategy.sharded_checkpoints=false"],
        [*TOY, *TWO, "iterations=3", "name=poisoned", POISON],
        *ADAPTER_OVER_SHARDS,
    ]
    train_in_turn(turns, place, repository)
    return place / "runs"


def close(one: Path, other: Path, iteration: int = 4) -> None:
    name = f"iteration-{iteration:06d}.ckpt"
    mine, theirs = weights(one / "checkpoints" / name), weights(other / "checkpoints" / name)
    assert mine.keys() == theirs.keys()
    for parameter, value in mine.items():
        torch.testing.assert_close(theirs[parameter], value, atol=2e-5, rtol=0)


def test_a_sharded_checkpoint_is_safetensors_and_json_of_every_rank(runs: Path):
    last = newest(runs / "whole" / "checkpoints")
    assert last is not None and last.is_dir()
    assert sorted(path.name for path in last.iterdir()) == [
        ".index.json.seal", "index.json", "rank-00000.safetensors", "rank-00001.safetensors",
    ]  # fmt: skip
    sizes = [path.stat().st_size for path in last.glob("*.safetensors")]
    assert min(sizes) > 0.4 * max(sizes), "each holds about a half"


def test_it_is_resumed_bit_for_bit_and_equals_that_of_one_file(runs: Path):
    assert_same_run(runs / "whole", runs / "part")
    assert (runs / "one_file" / "checkpoints" / "iteration-000004.ckpt").is_file()
    assert_same_run(runs / "whole", runs / "one_file")
    one, other = (load(runs / name / "checkpoints" / "iteration-000004.ckpt") for name in ("whole", "one_file"))
    states = [found["optimizer_states"][0]["state"] for found in (one, other)]  # type: ignore[index]
    assert states[0].keys() == states[1].keys() and states[0]
    for number, moments in states[0].items():
        assert moments.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(value, states[1][number][name]) for name, value in moments.items())


def test_a_run_goes_on_with_another_number_of_devices_and_another_strategy(
    runs: Path, place: Path, monkeypatch: pytest.MonkeyPatch
):
    """As in the run that never changed, up to fp32 rounding: also from one device to two."""
    monkeypatch.chdir(place)
    fit(*TOY, "prompts=4", "iterations=4", "name=to_one", resume=True)
    for other in ("to_one", "to_ddp", "from_one"):
        close(runs / "whole", runs / other)
        for mine, theirs in zip(metrics(runs / "whole"), metrics(runs / other), strict=True):
            assert theirs["reward/total"] == pytest.approx(mine["reward/total"], abs=1e-6), other


def test_a_loss_that_is_not_finite_on_one_rank_is_skipped_on_all(runs: Path):
    assert curve(runs / "poisoned", "learn/nonfinite") == [0.0, 1.0, 0.0]
    before, after = (weights(runs / "poisoned" / "checkpoints" / f"iteration-00000{n}.ckpt") for n in (1, 2))
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    kept = sorted(path.name for path in (runs / "poisoned" / "nonfinite").iterdir())
    assert kept == ["iteration-000002-rank-0.safetensors", "iteration-000002-rank-1.safetensors"]


def test_a_sharded_checkpoint_is_taken_as_weights(runs: Path, place: Path, monkeypatch: pytest.MonkeyPatch):
    """The run means its exported model, which is rounded; the checkpoint is exact."""
    monkeypatch.chdir(place)
    last = newest(runs / "base" / "checkpoints")
    assert last is not None
    trained = weights(last)
    for start in ("runs/base", str(last)):
        module = build([*WORDS, "policy=mini", f"policy.weights={start}", "name=further"]).module
        module.configure_model()
        for name, value in module.policy.state_dict().items():
            expected = trained[f"policy.{name}"]
            torch.testing.assert_close(value, expected.bfloat16().float() if start == "runs/base" else expected)


def test_a_sharded_run_is_exported_and_evaluated(
    runs: Path, place: Path, script: Script, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(place)
    assert script("export", "run=runs/base", "output=folder", "as.dtype=null") == 0
    written = Qwen3VLForConditionalGeneration.from_pretrained("folder", dtype=torch.float32).state_dict()
    trained = weights(runs / "base" / "checkpoints" / "iteration-000002.ckpt")
    assert all(torch.equal(tensor, trained[f"policy.model.{name}"]) for name, tensor in written.items())
    assert script("evaluate", "run=runs/base", "count=1", "output=scores/all.json") == 0
    assert Path("scores/all.json").exists()
    capfd.readouterr()
    assert script("export", "run=runs/one_file", "output=toy") == 1
    assert "a ToyPolicy, which has no Hugging Face form" in capfd.readouterr().err, "options of FSDP2 are no hindrance"


def test_an_adapter_over_shards_is_exported_merged_and_alone(
    runs: Path, place: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    """peft puts the adapter over the model that it was trained over, and computes what the merged model computes."""
    monkeypatch.chdir(place)
    saved = weights(runs / "adapted" / "checkpoints" / "iteration-000002.ckpt")
    assert all(".lora_" in name or name == "policy.adapter_facts" for name in saved)
    assert any(bool((value != 0).any()) for name, value in saved.items() if "lora_B" in name), "it learnt"
    assert script("export", "run=runs/adapted", "output=exported", "as.dtype=null") == 0
    base, merged = (
        Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        for folder in ("runs/base/model", "exported")
    )
    ids = torch.arange(10, 40)[None]
    with torch.no_grad():
        untrained, ours = (model(input_ids=ids).logits for model in (base, merged))
        theirs = PeftModel.from_pretrained(base, "exported/adapter")(input_ids=ids).logits
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(untrained, ours, atol=1e-5)
