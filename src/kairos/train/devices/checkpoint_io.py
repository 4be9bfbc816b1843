"""Lightning's seam for checkpoint files: written straight to their place on the disk, synced and sealed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy

from kairos.core.seals import replacing_state
from kairos.runs.folder import RunError


class SealedCheckpoints(TorchCheckpointIO):
    """Streams a checkpoint into a file beside its place, so that no second copy of it is held in memory or in $TMPDIR.

    On a GPU, tensors pass through the host one at a time. A RunError says how far it came and what is left intact.
    """

    def save_checkpoint(
        self, checkpoint: Mapping[str, object], path: str | Path, storage_options: object = None
    ) -> None:
        if storage_options is not None:
            raise TypeError("checkpoints of a run are local files: they take no storage_options")
        written = 0
        try:
            with replacing_state(Path(path)) as file:
                try:
                    torch.save(dict(checkpoint), cast("IO[bytes]", file))
                finally:
                    written = file.seal.size
        except (OSError, RuntimeError) as error:  # torch reports a write that failed as either
            reason = error.__cause__ or error
            raise RunError(
                f"{path}: the checkpoint cannot be written, after {written} bytes ({reason}). Earlier checkpoints are "
                "as they were: free space, and continue the run with run=<its folder>"
            ) from error


def seal_checkpoints(trainer: L.Trainer) -> None:
    """Let the trainer save by `SealedCheckpoints`, unless it was given a checkpoint IO of its own.

    ValueError where ranks would save shards of their own, whose index is a pickle.
    """
    strategy = trainer.strategy
    if isinstance(strategy, ModelParallelStrategy) and strategy._save_distributed_checkpoint:
        raise ValueError(
            "trainer.strategy.save_distributed_checkpoint=true writes a folder with a pickle in it, which is not read: "
            "leave it false, and the main process writes one file"
        )
    assert isinstance(strategy, Strategy)
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = SealedCheckpoints()
