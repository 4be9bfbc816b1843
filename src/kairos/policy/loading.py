"""Loads a family's checkpoint, and says so when it is one of another family."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar, cast

import torch
from transformers import PreTrainedConfig, PreTrainedModel

Model = TypeVar("Model", bound=PreTrainedModel)


def pretrained(kind: type[Model], weights: str) -> Model:
    """fp32 weights of a folder or id. ValueError when its `model_type` is not the one that `kind` is made for.

    transformers itself loads it all the same: it warns, and draws what it does not find at random.
    """
    config, _ = PreTrainedConfig.get_config_dict(weights)
    found, expected = config.get("model_type"), cast("type[PreTrainedConfig]", kind.config_class).model_type
    if found != expected:
        raise ValueError(
            f"{weights} is a checkpoint of model_type {found!r}, but processor.family reads {expected!r}; there are "
            f"families for {', '.join(families())}: choose the policy= option whose processor.family fits it"
        )
    return kind.from_pretrained(weights, dtype=torch.float32, use_safetensors=True)


def families() -> list[str]:
    """The model types that have a family: its file bears their name."""
    return sorted(path.stem for path in (Path(__file__).parent / "families").glob("[!_]*.py") if path.stem != "base")
