"""Weights & Biases as a Lightning logger, offline unless the user is logged in."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger


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
        offline=wandb.api.api_key is None,
    )
