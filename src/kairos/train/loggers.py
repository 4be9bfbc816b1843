"""Weights & Biases as a Lightning logger, offline unless the user is logged in."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.loggers import WandbLogger


def wandb_logger(project: str, folder: str, group: str | None = None) -> WandbLogger:
    """Runs are named after their folder and grouped by its parent, so that a sweep is one group."""
    import wandb

    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return WandbLogger(
        project=project,
        name=path.name,
        save_dir=folder,
        group=group or path.parent.name,
        offline=wandb.api.api_key is None,
    )
