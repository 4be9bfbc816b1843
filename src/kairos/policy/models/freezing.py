"""Freezes parts of a video language model by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from kairos.policy.network.towers import Towers

PARTS = ("vision", "tower", "merger", "text")
"""`vision` is `tower` and `merger`; the merger projects merged patches to the width of the text tower."""


def check(names: Sequence[str]) -> None:
    """ValueError when a name is not in `PARTS`."""
    if unknown := set(names) - set(PARTS):
        raise ValueError(f"policy.freeze may name {', '.join(map(repr, PARTS))}, got {sorted(unknown)}")


def freeze(towers: Towers, names: Sequence[str]) -> None:
    """Switch off the gradients of these parts. Modules with "merger" in their name are the merger, in every family."""
    vision = towers.vision
    merging = [child for name, child in vision.named_children() if "merger" in name]
    merger = {id(parameter): parameter for child in merging for parameter in child.parameters()}
    text = [cast("nn.Module", towers.text), towers.head]
    parts = {
        "vision": list(vision.parameters()),
        "tower": [parameter for parameter in vision.parameters() if id(parameter) not in merger],
        "merger": list(merger.values()),
        "text": [parameter for module in text for parameter in module.parameters()],
    }
    for name in names:
        for parameter in parts[name]:
            parameter.requires_grad_(False)
