"""The memory of a vLLM engine that samples in the training process, beside the policy."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.policy.memory.estimate import GIB, Allocation, Phase, computing_bytes, looking_bytes, reading_bytes
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload

READ_AT_ONCE = 8192
"""Tokens that vLLM reads together unless told otherwise (its `max_num_batched_tokens`)."""


@dataclass(frozen=True)
class Colocated:
    """What the engine holds."""

    kv_cache_gib: float
    """GiB of keys and values, whatever the rows need."""
    sleeps: bool
    """Its weights, keys and values leave the device while the policy learns."""

    def allocations(self, sizes: Sizes, load: Workload) -> list[Allocation]:
        """Lines of the memory table: the engine has no vision tower; the policy's own gives it features."""
        low = 2 if load.gpu else 4
        phase: Phase = "roll out" if self.sleeps and load.gpu else "always"
        features = load.at_once * load.vision_tokens * sizes.hidden * sizes.levels * low
        patches = load.vision_tokens * sizes.patches
        shards = computing_bytes(sizes, load, learning=False) if load.shards > 1 else 0.0
        return [
            Allocation("vLLM: weights", low * (sizes.parameters - sizes.vision), phase),
            Allocation("vLLM: keys and values (rollout.kv_cache_gib)", self.kv_cache_gib * GIB, phase),
            Allocation("vLLM: prompts read at once", READ_AT_ONCE * reading_bytes(sizes, low), "roll out", False),
            Allocation("roll-out: weights gathered to be sent", shards, "roll out"),
            Allocation(
                "roll-out: vision tower and features", patches * looking_bytes(sizes, low) + features, "roll out", False
            ),
        ]
