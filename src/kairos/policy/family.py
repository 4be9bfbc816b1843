"""What a family of video language models must say about itself; everything else is shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from transformers import PreTrainedConfig, PreTrainedModel

from kairos.core.types import Layout, VideoClip
from kairos.policy.network.layouts import Markers
from kairos.policy.network.towers import Towers


class Family(Protocol):
    """A picklable value."""

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        """Ids and positions of `before`, the clip and `after`. ValueError when the clip cannot be cut into patches."""
        ...

    def load(self, weights: str) -> PreTrainedModel: ...

    def create(self, config: PreTrainedConfig) -> PreTrainedModel: ...

    def towers(self, model: PreTrainedModel) -> Towers:
        """The parts of a model that `load` or `create` gave."""
        ...
