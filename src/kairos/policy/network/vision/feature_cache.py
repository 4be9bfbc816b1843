"""Runs the vision tower once for each distinct clip, and not at all where a frozen tower's features are stored."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kairos.core.protocols import FeatureStore
from kairos.core.types import Prompt
from kairos.policy.network.layouts import frames_in, layout_of
from kairos.policy.network.towers import Towers, VideoFeatures
from kairos.policy.network.vision.feature_keys import ClipNames, TowerName


class FeatureCache:
    """`(towers, prompts, frozen) -> VideoFeatures`. Stores only features of a frozen tower.

    A clip whose features are stored passes the tower alone: so they do not depend on the batch, and a resumed run, or
    another run that reads the same files, computes the same bits. An entry of `store` is [levels, N, D]: the tokens'
    features, then the deepstack features. Its key names the clip, the tower and `repr(family)` (its cut into patches).
    """

    def __init__(self, store: FeatureStore | None, family: object) -> None:
        self.store, self.family = store, family
        self._clip, self._tower = ClipNames(), TowerName()
        self._counts: dict[str, int] = {}

    def __call__(self, towers: Towers, prompts: Sequence[Prompt], frozen: bool) -> VideoFeatures:
        """ValueError when the tower returns another number of features than the prompts have video tokens."""
        if frozen and self.store is not None:
            return self._from_store(towers, prompts, self.store)
        return self._in_one_pass(towers, prompts)

    def counted(self) -> dict[str, int]:
        """Counts since the last call: clips that passed the tower, hits and misses of the store."""
        counts, self._counts = self._counts, dict.fromkeys(self._counts, 0)
        return counts

    @torch.no_grad()
    def _from_store(self, towers: Towers, prompts: Sequence[Prompt], store: FeatureStore) -> VideoFeatures:
        tower, device = self._tower(towers.vision, self.family), towers.device
        keys = [f"{tower}/{self._clip(prompt)}" for prompt in prompts]
        found: dict[str, Tensor] = {}
        for name in ("tower_clips", "feature_hits", "feature_misses"):
            self._count(name, 0)
        missed: list[str] = []
        for key, prompt in zip(keys, prompts, strict=True):
            if key in found:
                continue
            entry = store.get(key)
            self._count("feature_misses" if entry is None else "feature_hits")
            if entry is None:
                seen = self._run(towers, [prompt])
                entry = torch.stack([seen.tokens_ND, *seen.deepstack])
                missed.append(key)
            found[key] = entry.to(device, non_blocking=True)
        for key in missed:  # after the tower's last pass: the device works while the host allocates
            store.put(key, found[key])
        whole = torch.cat([found[key] for key in keys], dim=1)
        return VideoFeatures(whole[0], tuple(whole[1:]))

    def _in_one_pass(self, towers: Towers, prompts: Sequence[Prompt]) -> VideoFeatures:
        """One pass over the distinct clips. The gradients of prompts that share a clip add up."""
        places = [_frames_identity(prompt) for prompt in prompts]
        distinct: dict[object, Prompt] = {}
        for place, prompt in zip(places, prompts, strict=True):
            distinct.setdefault(place, prompt)
        seen = self._run(towers, list(distinct.values()))
        if len(distinct) == len(prompts):
            return seen
        sizes = [_tokens(towers, prompt) for prompt in distinct.values()]
        index = {place: number for number, place in enumerate(distinct)}

        def spread(features_ND: Tensor) -> Tensor:
            clips = features_ND.split(sizes)
            return torch.cat([clips[index[place]] for place in places])

        return VideoFeatures(spread(seen.tokens_ND), tuple(spread(deep) for deep in seen.deepstack))

    def _run(self, towers: Towers, prompts: Sequence[Prompt]) -> VideoFeatures:
        self._count("tower_clips", len(prompts))
        seen = towers.see(prompts)
        counts = [_tokens(towers, prompt) for prompt in prompts]
        if len(seen.tokens_ND) != sum(counts):
            named = ", ".join(f"{prompt.uid} ({count})" for prompt, count in zip(prompts, counts, strict=True))
            raise ValueError(
                f"the vision tower gave {len(seen.tokens_ND)} features, but the prompts have other numbers of video "
                f"tokens: {named}; lay them out with this policy's own processor (processor.family, frames)"
            )
        return seen

    def _count(self, name: str, number: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + number


def _tokens(towers: Towers, prompt: Prompt) -> int:
    return int((layout_of(prompt).ids_L == towers.video_token).sum())


def _frames_identity(prompt: Prompt) -> object:
    """Equal for prompts that show the same frames: the frames' address and strides, and those the layout takes."""
    frames, layout = frames_in(prompt), layout_of(prompt)
    taken = None if layout.frames is None else tuple(layout.frames.tolist())
    return frames.data_ptr(), tuple(frames.shape), frames.stride(), taken
