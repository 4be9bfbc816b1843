"""Casts the module, data module and callbacks that Lightning passes as base classes to our types, with a check."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback

from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.grpo import GRPOModule


def module_of(module: L.LightningModule) -> GRPOModule:
    """The module as a `GRPOModule`; TypeError if it is none."""
    if not isinstance(module, GRPOModule):
        raise TypeError(f"this callback belongs to a GRPOModule, not to a {type(module).__name__}")
    return module


def callbacks_of(trainer: L.Trainer) -> list[Callback]:
    """The trainer's callbacks, in the config's order."""
    return getattr(trainer, "callbacks", [])  # Lightning declares no such attribute, but sets it


def data_of(trainer: L.Trainer) -> PromptDataModule:
    """The trainer's data module as a `PromptDataModule`; TypeError if it is none."""
    data = getattr(trainer, "datamodule", None)  # Lightning declares no such attribute, but sets it
    if not isinstance(data, PromptDataModule):
        raise TypeError(f"this callback needs a PromptDataModule, and the trainer has a {type(data).__name__}")
    return data
