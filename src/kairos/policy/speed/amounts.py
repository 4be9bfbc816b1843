"""What a device has to do, counted by kind, and the seconds that it takes at given rates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

H200 = Path(__file__).with_name("h200.json")
"""Rates of one H200, fitted by `benchmarks/plan_rates.py` to what was measured there."""


@dataclass(frozen=True)
class Amounts:
    """Work by kind. As rates, the same fields hold the seconds of one unit."""

    products: float = 0.0
    """FLOPs of the text layers' matrices."""
    attention: float = 0.0
    """FLOPs of queries, keys and values."""
    head: float = 0.0
    """FLOPs of the head and of its log-probabilities."""
    tower: float = 0.0
    """FLOPs of the vision tower's matrices; its attention within frames is part of the rate."""
    rule: float = 0.0
    """Numbers of a delta net's values, over tokens and layers, by plain torch."""
    fused_rule: float = 0.0
    """The same by flash-linear-attention."""
    passes: float = 0.0
    """Text layers that are run over a micro-batch, forward or backward: launches, and what is too small to count."""
    decode_bytes: float = 0.0
    """Bytes of weights, keys and values that decode steps read."""
    decode_layers: float = 0.0
    """Text layers that decode steps run."""
    drawn: float = 0.0
    """Tokens drawn, times the numbers of the vocabulary."""
    vllm_rows: float = 0.0
    """Tokens that vLLM draws, times text layers."""
    vllm_prompts: float = 0.0
    """Tokens of prompts that vLLM reads, once for every row, times text layers."""
    sent: float = 0.0
    """Bytes of weights that are given to vLLM."""
    gathered: float = 0.0
    """Bytes that a device exchanges with the others of its host."""
    updated: float = 0.0
    """Parameters that the optimiser updates."""

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(**{name: getattr(self, name) + getattr(other, name) for name in KINDS})

    def __mul__(self, times: float) -> Amounts:
        return Amounts(**{name: times * getattr(self, name) for name in KINDS})

    def seconds(self, rates: Amounts) -> float:
        """What the work takes at `rates`."""
        return sum(getattr(self, name) * getattr(rates, name) for name in KINDS)


KINDS = tuple(field.name for field in fields(Amounts))


@cache
def h200() -> Amounts:
    """The rates of one H200, in seconds a unit."""
    stored: Mapping[str, float] = json.loads(H200.read_text(encoding="utf-8"))["seconds_a_unit"]
    return Amounts(**stored)
