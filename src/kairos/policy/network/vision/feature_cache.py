"""Runs the vision tower once for every distinct clip, and not at all for a clip that a frozen tower has seen before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kairos.core.protocols import FeatureStore
from kairos.core.types import Prompt
from kairos.policy.network.layouts import frames_in, layout_of
from kairos.policy.network.towers import Seen, Towers
from kairos.policy.network.vision.feature_keys import ClipNames, TowerName


class SeeOnce:
    """`(towers, prompts, frozen) -> Seen`. Only a frozen tower's features are kept in `store`.

    A clip that is to be kept passes the tower alone: its features never depend on what it was batched with, so that a
    run that goes on, or another that reads the same files, computes bit for bit the same. An entry of the store is
    [levels, N, D]: the tokens, and what is added behind the text layers. What the `family` is written as (its cut
    into patches) is part of the name that features are kept under.
    """

    def __init__(self, store: FeatureStore | None, family: object) -> None:
        self.store, self.family = store, family
        self._clip, self._tower = ClipNames(), TowerName()
        self._counts: dict[str, int] = {}

    def __call__(self, towers: Towers, prompts: Sequence[Prompt], frozen: bool) -> Seen:
        """ValueError when there are not as many features as tokens that stand for them."""
        if frozen and self.store is not None:
            return self._kept(towers, prompts, self.store)
        return self._together(towers, prompts)

    def keep_name(self, towers: Towers) -> None:
        """For weights that are about to be sharded: the tower is called what it is now."""
        self._tower.keep(towers.vision, self.family)

    def counted(self) -> dict[str, int]:
        """What happened since the last call: clips that passed the tower, features found in the store and not found."""
        counts, self._counts = self._counts, dict.fromkeys(self._counts, 0)
        return counts

    @torch.no_grad()
    def _kept(self, towers: Towers, prompts: Sequence[Prompt], store: FeatureStore) -> Seen:
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
                entry = torch.stack([seen.tokens_ND, *seen.deeper])
                missed.append(key)
            found[key] = entry.to(device, non_blocking=True)
        for key in missed:  # after the tower's last pass: room on the host takes time that the device then has work for
            store.put(key, found[key])
        whole = torch.cat([found[key] for key in keys], dim=1)
        return Seen(whole[0], tuple(whole[1:]))

    def _together(self, towers: Towers, prompts: Sequence[Prompt]) -> Seen:
        """One pass for all, each clip in it once; the gradients of prompts that share a clip add up."""
        places = [_place(prompt) for prompt in prompts]
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

        return Seen(spread(seen.tokens_ND), tuple(spread(deep) for deep in seen.deeper))

    def _run(self, towers: Towers, prompts: Sequence[Prompt]) -> Seen:
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


def _place(prompt: Prompt) -> object:
    """Where the frames lie: those of one clip are the same memory, also when two prompts mapped its file."""
    frames, layout = frames_in(prompt), layout_of(prompt)
    taken = None if layout.frames is None else tuple(layout.frames.tolist())
    return frames.data_ptr(), tuple(frames.shape), frames.stride(), taken
