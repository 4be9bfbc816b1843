"""Lightning's seam for checkpoint files: written straight to their place on the disk, synced and sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy

from kairos.core.seals import remove, replacing_state
from kairos.policy.models.checkpoints import verify
from kairos.policy.models.shards.reading import tree_of, whole
from kairos.runs.folder import RunError
from kairos.train.devices.fsdp2 import FSDP2


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
        if Path(path).is_dir():
            remove(Path(path))  # the same name, of a run that was sharded
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

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., object] | None = lambda storage, location: storage,
        weights_only: bool | None = None,
    ) -> dict[str, object]:
        """What a checkpoint holds, also one that a sharded run wrote: its tensors are put together on the host."""
        if not Path(path).is_dir():
            return super().load_checkpoint(path, map_location, weights_only)
        verify(Path(path))
        return cast("dict[str, object]", whole(tree_of(Path(path))))


def seal_checkpoints(trainer: L.Trainer) -> None:
    """Let the trainer save by `SealedCheckpoints`, unless it was given a checkpoint IO of its own.

    ValueError for Lightning's own sharded checkpoints, whose index is a pickle.
    """
    strategy = trainer.strategy
    ours = isinstance(strategy, FSDP2)
    if isinstance(strategy, ModelParallelStrategy) and strategy._save_distributed_checkpoint and not ours:
        raise ValueError(
            "trainer.strategy.save_distributed_checkpoint=true writes a folder with a pickle in it, which is not read: "
            "say strategy=fsdp2, whose ranks write safetensors files"
        )
    assert isinstance(strategy, Strategy)
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = SealedCheckpoints()
