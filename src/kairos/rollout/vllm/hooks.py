"""What vLLM's model asks of us instead of working it out itself: positions, video features and banned tokens.

So vLLM runs no processor and no vision tower of its own, and there is one layout only. Its model is an object of this
process; three of its methods are replaced on that object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.types import Layout
from kairos.policy.network.towers import VideoFeatures
from kairos.rollout.vllm.theirs import Model, Video

PLACE = "video_at"
"""The only field of a video that travels through vLLM: its number, under which `Hooks` holds the features."""


def continued(positions_3L: Tensor, length: int) -> tuple[Tensor, int]:
    """Positions [3, length] of a prompt and of an answer's first tokens behind it, and the shift of the latter."""
    delta = int(positions_3L.max()) + 1 - positions_3L.shape[1]
    more = torch.arange(positions_3L.shape[1], length) + delta
    return torch.cat([positions_3L, more.expand(3, -1)], dim=1), delta


@dataclass
class Hooks:
    """The prompts of one roll-out as vLLM's model sees them."""

    banned: tuple[int, ...]
    """Tokens that get the logit -inf."""
    dtype: torch.dtype
    """Of vLLM's weights, which features are cast to."""
    layouts: dict[str, Layout] = field(default_factory=dict)
    """By the name of a video in vLLM."""
    features: dict[int, Tensor] = field(default_factory=dict)
    """[N, D * levels] by number: a token's feature, then its deepstack features."""
    asked: set[str] = field(default_factory=set)
    """Names whose positions vLLM has asked for."""

    def offer(self, name: str, number: int, layout: Layout, seen: VideoFeatures) -> None:
        """Hold what vLLM will ask for under these names."""
        self.layouts[name] = layout
        self.features[number] = torch.cat([seen.tokens_ND, *seen.deepstack], dim=-1).to(self.dtype)

    def clear(self) -> None:
        self.layouts.clear()
        self.features.clear()
        self.asked.clear()

    def install(self, model: Model) -> None:
        """Replace the three methods on this one model."""
        logits_of = model.compute_logits
        banned: dict[torch.device, Tensor] = {}  # copied to a device once: no step waits for it

        def compute_logits(hidden_states: Tensor) -> Tensor | None:
            logits = logits_of(hidden_states)
            if logits is None:
                return None
            if logits.device not in banned:
                banned[logits.device] = torch.tensor(self.banned, dtype=torch.long, device=logits.device)
            return logits.index_fill_(-1, banned[logits.device], -torch.inf)

        model.get_mrope_input_positions = self.positions
        model.embed_multimodal = self.embed
        model.compute_logits = compute_logits

    def positions(self, input_tokens: list[int], mm_features: list[Video]) -> tuple[Tensor, int]:
        """Our positions [3, L], and what is added to a later token's index to get its position.

        `input_tokens` are the prompt, followed by an answer's first tokens where vLLM resumes it.
        """
        length = len(input_tokens)
        if not mm_features:
            return torch.arange(length).expand(3, -1).clone(), 0
        name = mm_features[0].identifier
        self.asked.add(name)
        return continued(self.layouts[name].positions_3L, length)

    def embed(self, **fields: object) -> tuple[Tensor, ...]:
        """The features of the videos that vLLM wants next."""
        place = fields[PLACE]
        assert isinstance(place, Tensor)
        return tuple(self.features[number] for number in place.flatten().tolist())
