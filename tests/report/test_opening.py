"""What a run says when it begins."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from kairos.compose import compose
from kairos.report.ends import opening

OVERRIDES = ("data=jsonl", "data.annotations=mine.jsonl", "data.videos=clips", "prompts=4")


def said(*overrides: str) -> str:
    config = OmegaConf.to_container(compose([*OVERRIDES, *overrides]), resolve=False)
    assert isinstance(config, dict)
    config["data"] = OmegaConf.to_container(compose([*OVERRIDES, *overrides]).data, resolve=True)
    return opening(config, [*OVERRIDES, *overrides], Path("runs/mine"))


def test_a_run_that_validates_on_what_it_learns_says_so_and_names_the_option() -> None:
    assert "validation asks the very rows that are trained on: data.val_annotations=<file>" in said()
    assert "validation asks" not in said("data.val_annotations=others.jsonl")
