"""Refuses options that this machine cannot carry out, in seconds: before anything is decoded or loaded."""

from __future__ import annotations

from collections.abc import Sequence

import lightning as L
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from torch.distributed import is_torchelastic_launched

from kairos.policy.network.attention.varlen import Attention
from kairos.policy.network.kernels.dispatch import Machine
from kairos.train.devices.fsdp2 import FSDP2

_PLAIN = (None, 32, "32", "32-true")
_ON_GPU = ("gpu", "cuda")


class NotHere(ValueError):
    """This machine cannot do what an option asks for."""


def gpus() -> int:
    """How many GPUs torch sees."""
    return torch.cuda.device_count()


def check_devices(accelerator: object, devices: object, precision: object, found: int) -> None:
    """NotHere unless a machine with `found` GPUs has the `trainer.devices` and can compute in `trainer.precision`.

    >>> check_devices("gpu", 2, None, found=1)
    Traceback (most recent call last):
    kairos.train.devices.suits.NotHere: trainer.devices=2: torch sees 1 GPU here: say trainer.devices=1
    """
    if accelerator == "cpu" and precision not in _PLAIN:
        raise NotHere(
            f"trainer.precision={precision}: on a CPU everything is fp32 (and bf16 by itself on a GPU): leave it out"
        )
    if accelerator not in _ON_GPU:
        return
    if found == 0:
        built = "" if torch.version.cuda or torch.version.hip else ", and this torch was built without CUDA"
        raise NotHere(f"trainer=gpu: torch sees no GPU here{built}: say trainer=cpu")
    if _wanted(devices) > found:
        have = "1 GPU" if found == 1 else f"{found} GPUs"
        raise NotHere(f"trainer.devices={devices}: torch sees {have} here: say trainer.devices={found}")


def check_strategy(trainer: L.Trainer) -> None:
    """NotHere for sharded weights on a CPU, unless torchrun began the processes (as tests do)."""
    sharded = isinstance(trainer.strategy, FSDP2)
    if sharded and isinstance(trainer.accelerator, CPUAccelerator) and not is_torchelastic_launched():
        raise NotHere(
            "strategy=fsdp2 (and hsdp) shards weights over GPUs, and trainer=cpu has none: say strategy=single (or "
            "start several processes with torchrun)"
        )


def check_kernels(attn: Attention, device: torch.device) -> None:
    """NotHere where a language policy cannot compute on `device`: kernels of `attn=` are missing, or the GPU's bf16."""
    lacking = attn.lacking(Machine.of(device))
    if lacking is not None:
        raise NotHere(f"attn: {lacking}: say attn=automatic")
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name(device)
        raise NotHere(f"trainer=gpu: {name} has no bf16, in which models compute on a GPU: say trainer=cpu")


def _wanted(devices: object) -> int:
    """How many GPUs there must be for `trainer.devices`: a number, numbers, or a text as Lightning reads it."""
    if isinstance(devices, str):
        numbers = [int(word) for word in devices.split(",") if word.strip().lstrip("-").isdigit()]
        devices = numbers if "," in devices else numbers[0] if numbers else 0
    if isinstance(devices, Sequence):
        return max((int(number) + 1 for number in devices), default=0)
    return devices if isinstance(devices, int) else 0
