"""Kairos: reinforcement learning that teaches video language models when something happens and where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kairos.asking import ground

__version__ = "0.1.0"
__all__ = ["ground"]


def __getattr__(name: str) -> object:
    """`ground` is imported when it is first asked for: `import kairos` alone loads nothing heavy."""
    if name == "ground":
        from kairos.asking import ground

        return ground
    raise AttributeError(f"module 'kairos' has no attribute {name!r}")
