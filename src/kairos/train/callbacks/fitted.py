"""The module and the data of a fit as the classes that they are: Lightning hands them over as its own base classes."""

from __future__ import annotations

import lightning as L

from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.grpo import GRPOModule


def module_of(module: L.LightningModule) -> GRPOModule:
    """TypeError for a module of another kind."""
    if not isinstance(module, GRPOModule):
        raise TypeError(f"this callback belongs to a GRPOModule, not to a {type(module).__name__}")
    return module


def data_of(trainer: L.Trainer) -> PromptDataModule:
    """TypeError where the trainer was given other data."""
    data = getattr(trainer, "datamodule", None)  # Lightning declares no such attribute, but sets it
    if not isinstance(data, PromptDataModule):
        raise TypeError(f"this callback needs a PromptDataModule, and the trainer has a {type(data).__name__}")
    return data
