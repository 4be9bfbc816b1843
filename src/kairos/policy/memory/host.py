"""Estimates the memory that a run needs on its host: processes, loader workers, kept features, what is offloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kairos.policy.memory.checkpoint_size import checkpoint_size
from kairos.policy.memory.estimate import GIB, Allocation
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload

PROCESS = 1.1 * GIB
"""Of one training process with its libraries, measured without a GPU; CUDA's own pages come on top."""
WORKER = 0.3 * GIB
"""Of one loader worker with its decoder's process: measured 0.06 of their own, 0.25 with their part of shared pages."""
_FRAMES, _CHANNELS = 2, 3  # of a vision token: two frames in a temporal patch, a byte a channel


@dataclass(frozen=True)
class Host:
    """What runs on one host."""

    processes: int
    """Training processes, one a device."""
    workers: int
    """Loader workers of each."""
    prompts: int
    """Prompts of one batch."""
    prefetch: int
    """Batches that each worker has ready."""
    token_pixels: int
    """Pixels that one vision token covers in a frame."""
    features_gib: float
    """GiB of a frozen tower's features that each process keeps in the host's memory."""
    offloaded: bool
    """Weights, gradients and moments lie on the host (fsdp2_offload)."""
    sharded_checkpoints: bool = False
    """Each process writes its own shards, so that no process gathers a checkpoint."""

    def allocations(self, sizes: Sizes, load: Workload) -> Iterator[Allocation]:
        """Lines of the table, none of size 0. Clips of the store are mapped, so they need no memory of their own."""
        clip = load.vision_tokens * self.token_pixels * _FRAMES * _CHANNELS
        batches = (self.workers * self.prefetch + 2) * self.prompts * clip  # one is learned from, one is pinned
        shards = self.processes if load.shards > 1 else 1
        held = (8 + load.moments) * sizes.trained + 4 * sizes.frozen
        lines = [
            Allocation(f"{self.processes} training process(es)", self.processes * PROCESS),
            Allocation(f"{self.workers} loader workers each", self.processes * self.workers * WORKER),
            Allocation("decoded clips of the batches that are ready", self.processes * batches),
            Allocation("features that are kept", self.processes * self.features_gib * GIB),
            Allocation(
                "weights, gradients and moments, offloaded", held * shards / load.shards if self.offloaded else 0
            ),
            Allocation(
                "a checkpoint while it is written",
                0 if self.sharded_checkpoints and load.shards > 1 else checkpoint_size(sizes, load).host,
            ),
        ]
        return (line for line in lines if line.size > 0)
