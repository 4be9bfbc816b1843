"""Weights that a run or a typing error names: no hub is asked for a path, a base elsewhere is said, a loop ends."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
import yaml

from kairos.policy.answering.any_model import TransformersAnswerer
from kairos.policy.models.adapter_state import FACTS
from kairos.policy.models.weights import Weights, locate


def adapter_run(folder: Path, base: object) -> str:
    """A run that trained an adapter over `base`."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "metrics.jsonl").touch()
    (folder / "config.yaml").write_text(yaml.safe_dump({"policy": {"weights": base}}))
    state = {"state_dict": {f"policy.{FACTS}": torch.zeros(2)}}
    torch.save(state, folder / "checkpoints" / "iteration-000001.ckpt")
    return str(folder)


@pytest.mark.parametrize(
    "name",
    ["runs/typo", "runs", "./typo", "../typo", "/typo/model", "~/typo", "models/typo", "a/b/c", "typo/", "own/typo"],
)
def test_a_path_is_a_folder_or_an_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "own").mkdir()
    with pytest.raises(ValueError, match=r"there is no such folder; a Hugging Face id is owner/name"):
        locate(name)
    with pytest.raises(ValueError, match=r"there is no such folder; a Hugging Face id is owner/name"):
        TransformersAnswerer(name).build()


def test_an_id_is_left_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert locate("Qwen/Qwen3-VL-2B-Instruct") == Weights("Qwen/Qwen3-VL-2B-Instruct")


def test_runs_that_name_one_another_end_with_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    adapter_run(tmp_path / "runs" / "a", "runs/b")
    adapter_run(tmp_path / "runs" / "b", "runs/c/checkpoints/iteration-000001.ckpt")
    adapter_run(tmp_path / "runs" / "c", "./runs/a")
    with pytest.raises(
        ValueError, match=r"runs/a -> runs/b -> runs/c/.*ckpt -> \./runs/a -> runs/b: these runs name one"
    ):
        locate("runs/a")
    adapter_run(tmp_path / "runs" / "self", "runs/self")
    with pytest.raises(ValueError, match=r"runs/self -> runs/self: these runs"):
        locate("runs/self")


def test_a_base_elsewhere_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.chdir(tmp_path)
    adapter_run(tmp_path / "runs" / "a", "someone/model")
    adapter_run(tmp_path / "runs" / "mini", "mini_base")
    with caplog.at_level(logging.WARNING):
        assert locate("runs/a").base == "someone/model"
        assert locate("runs/mini").base.endswith("mini_base")
    assert [r.message for r in caplog.records if "takes its" in r.message] == [
        "runs/a takes its configuration, tokenizer or base weights from 'someone/model', as its config.yaml says"
    ]
    adapter_run(tmp_path / "runs" / "moved", "runs/gone")
    with pytest.raises(ValueError, match=r"policy\.weights=runs/moved -> runs/gone: there is no such folder"):
        locate("runs/moved")


@pytest.mark.parametrize("base", [["a"], {"a": 1}, 3])
def test_a_base_that_is_no_text_is_an_error_of_its_file(base: object, tmp_path: Path):
    run = adapter_run(tmp_path / "run", base)
    with pytest.raises(ValueError, match=r"config\.yaml: policy\.weights must be a text, got"):
        locate(run)
    (tmp_path / "run" / "config.yaml").unlink()
    with pytest.raises(ValueError, match=r"config\.yaml is missing"):
        locate(run)
