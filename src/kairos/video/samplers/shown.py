"""Shows a model K frames of each clip, which a frame sampler chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from kairos.core.protocols import Enrich, FrameSampler
from kairos.core.types import Prompt


@dataclass(frozen=True)
class Shown:
    """Keeps `count` frames of a prompt's clip, those that `sampler` chooses, in the order of time. An `Enrich`.

    The frames keep their own times and features. A clip with fewer frames is shown whole, whatever the sampler.
    """

    sampler: FrameSampler
    count: int | None
    """K, the most frames of a prompt; None is refused."""

    def __post_init__(self) -> None:
        if self.count is None:
            raise ValueError("a sampler needs shown_frames=<K>, the number of frames to show; or leave sampler=all")
        if self.count < 1:
            raise ValueError(f"shown_frames must be >= 1 frame, or null with sampler=all, got {self.count}")

    def __call__(self, prompt: Prompt) -> Prompt:
        """ValueError where the sampler chooses no frame."""
        return replace(prompt, clip=prompt.clip.take(self.choose(prompt)))

    def choose(self, prompt: Prompt) -> Tensor:
        """Indices of the frames to show: int64 [min(K, T) at most]. ValueError where the sampler chooses none."""
        assert self.count is not None
        index_K = self.sampler(prompt, self.count)
        if not len(index_K):
            raise ValueError(
                f"prompt {prompt.uid}: {type(self.sampler).__name__} chose none of {len(prompt.clip)} frames with "
                f"shown_frames={self.count}: raise shown_frames, or lower the sampler's depth where it has one"
            )
        return index_K


def features_and_frames(enrich: Mapping[str, Enrich | None]) -> tuple[list[Enrich], list[Shown]]:
    """The parts of `enrich` that add features, in order, and those that choose frames, which are applied after them.

    So a sampler reads every feature, wherever it stands in the mapping. None is left out.
    """
    parts = [part for part in enrich.values() if part is not None]
    return (
        [part for part in parts if not isinstance(part, Shown)],
        [part for part in parts if isinstance(part, Shown)],
    )
