"""The workload of one device in a training step: how many tokens and rows it computes at once, and how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """What one device computes at once, and how."""

    text_tokens: int
    """Text tokens of one prompt at most."""
    vision_tokens: int
    """Vision tokens of one prompt at most."""
    completion: int
    """Tokens of one completion at most."""
    group: int
    """Rows of one group."""
    at_once: int
    """Prompts that are sampled together."""
    prompts: int
    """Prompts of one micro-batch."""
    rows: int
    """Rows of one micro-batch."""
    shared: bool = True
    """A prompt is computed once for its rows."""
    recompute: str = "none"
    """none, selective or full."""
    moments: int = 8
    """Bytes of the optimiser's moments per trained parameter."""
    shards: int = 1
    """Devices that weights, gradients and moments are divided over (fsdp2); 1 otherwise."""
    gpu: bool = True
    """The device is a GPU, which computes in bf16."""
    fused: bool = True
    """Elementwise operators of the layers run as fused kernels (False where torch compiles the layers)."""
    accumulating: bool = True
    """Products add to `weight.grad` themselves (False where other processes wait for the gradients)."""

    @property
    def prompt(self) -> int:
        """Tokens of one prompt at most."""
        return self.text_tokens + self.vision_tokens

    @property
    def tokens(self) -> int:
        """Tokens of one micro-batch; a shared prompt counts once."""
        return (self.prompts if self.shared else self.rows) * self.prompt + self.rows * self.completion
