"""How large vLLM may be beside the trained policy."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Settings:
    """Sizes of the engine, and how far its log-probs may be from the policy's."""

    context: int
    """Tokens of the longest prompt and its answer together."""
    kv_cache_gib: float
    """Memory of keys and values, in GiB; it is given back while the policy learns."""
    rows: int
    """Rows that are decoded at once."""
    sleeps: bool
    """Give memory back (weights, keys and values) while the policy learns; GPUs only."""
    eager: bool
    """Neither compile nor capture CUDA graphs: a quicker start, a slower roll-out."""
    dtype: str | None
    """Of vLLM's weights and arithmetic; None: bfloat16 on a GPU, float32 on a CPU."""
    tolerance: float | None
    """Largest mean difference of log-probs that training begins with, in nats a token; None: any."""
    checked_rows: int
    """Rows of the first roll-out that are scored for that."""

    def __post_init__(self) -> None:
        if self.dtype not in (None, "bfloat16", "float32"):
            raise ValueError(f"rollout.dtype must be bfloat16, float32 or null, got {self.dtype!r}")
        if self.context < 1 or self.rows < 1 or self.checked_rows < 1:
            raise ValueError(
                "rollout.context, rollout.rows and rollout.checked_rows must be >= 1, got "
                f"{self.context}, {self.rows} and {self.checked_rows}"
            )
        if self.kv_cache_gib <= 0:
            raise ValueError(f"rollout.kv_cache_gib must be > 0, got {self.kv_cache_gib}")
        if self.tolerance is not None and self.tolerance <= 0:
            raise ValueError(f"rollout.tolerance must be > 0, or null for no check, got {self.tolerance}")

    def dtype_on(self, device: torch.device) -> torch.dtype:
        """What vLLM computes in."""
        if self.dtype is None:
            return torch.float32 if device.type == "cpu" else torch.bfloat16
        return torch.float32 if self.dtype == "float32" else torch.bfloat16
