"""Builds a module's weights on a device without a trainer, for evaluation and notebooks."""

from __future__ import annotations

import torch

from kairos.train.grpo import GRPOModule


def place(module: GRPOModule, accelerator: str = "auto") -> GRPOModule:
    """Build the policy's weights and move them to the first device of `accelerator` (cpu, gpu, auto)."""
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ValueError("trainer=gpu, but torch sees no CUDA device: say trainer=cpu")
    device = torch.device("cuda" if torch.cuda.is_available() and accelerator != "cpu" else "cpu")
    with device:
        module.configure_model()
    return module.to(device)
