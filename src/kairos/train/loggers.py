"""Weights & Biases as a Lightning logger, offline unless the user is logged in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from lightning.pytorch.loggers import Logger, WandbLogger


def wandb_logger(project: str, folder: str, group: str | None = None) -> WandbLogger:
    """Runs are named after their folder and grouped by its parent, so that a sweep is one group.

    The run's id is a hash of its folder's path, so that a resumed run continues the same one.
    """
    import wandb

    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    wandb.finish()  # the run of a sweep's job before this one, in the same process
    return WandbLogger(
        project=project,
        name=path.name,
        save_dir=folder,
        group=group or path.parent.name,
        id=hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16],
        resume="allow",
        mode=None if "WANDB_MODE" in os.environ or wandb.login(prompt=False) else "offline",
    )


def describe(loggers: Iterable[Logger], config: Mapping[str, object]) -> None:
    """Give the resolved configuration to loggers that keep one, before training."""
    for logger in loggers:
        logger.log_hyperparams(dict(config))


def conclude(loggers: Iterable[Logger], summary: Mapping[str, object]) -> None:
    """Log the numbers of a run's summary, scores before and after training among them, as `summary/<name>`."""
    numbers = {f"summary/{name}": float(value) for name, value in summary.items() if isinstance(value, int | float)}
    for logger in loggers:
        logger.log_metrics(numbers)
        logger.finalize("success")
