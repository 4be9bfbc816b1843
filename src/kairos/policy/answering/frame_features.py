"""Vision features of single frames, computed once a frame and shared by all sets of frames that show it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kairos.core.types import Layout, Prompt, VideoClip
from kairos.policy.answering.sets import pixels_of
from kairos.policy.memory.estimate import GIB
from kairos.policy.network.towers import Towers
from kairos.policy.processor import LanguageProcessor


@dataclass(frozen=True)
class SeenFrames:
    """Features of frames of one clip."""

    by_frame: Mapping[int, Tensor]
    """By the frame's index in the clip: [levels, N, D], the features of its N tokens, then the deepstack features."""
    behind: Tensor
    """[levels, R, D]: what the family puts behind the last frame of any clip, such as LLaVA-OneVision's newline."""

    def of(self, index_K: Tensor) -> list[Tensor]:
        """The features of each frame of a set, in its order, and what stands behind the last."""
        return [*(self.by_frame[frame] for frame in index_K.tolist()), self.behind]


class FrameFeatures:
    """`(towers, processor, prompts, wanted) -> SeenFrames of each prompt`, for towers that see one frame at a time.

    Frames pass the tower `at_once` together, and always as many: the last portion is filled up with copies of a frame.
    So a frame's features do not depend on which others are missing, and a resumed run computes the same bits. The
    features used last stay in memory (on the tower's device), up to `gib`, for frames whose pixels have a name.
    """

    def __init__(self, gib: float, at_once: int) -> None:
        if gib < 0:
            raise ValueError(f"answerer.cache_gib must be >= 0 (0 keeps nothing), got {gib}")
        if at_once < 1:
            raise ValueError(f"answerer.frames_at_once must be >= 1, got {at_once}")
        self.most, self.at_once = gib * GIB, at_once
        self.passed = self.known = 0
        """Frames so far that passed the tower (copies aside), and that a cache hit spared the tower."""
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self._behind: Tensor | None = None

    def __call__(
        self, towers: Towers, processor: LanguageProcessor, prompts: Sequence[Prompt], wanted: Sequence[Sequence[int]]
    ) -> list[SeenFrames]:
        """`wanted` holds the indices of each prompt's frames, none twice."""
        names = [_keys(prompt.clip, place) for place, prompt in enumerate(prompts)]
        found: dict[str, Tensor] = {}
        missing: dict[tuple[int, ...], dict[str, Tensor]] = {}  # pixels, by their size
        for prompt, frames, keys in zip(prompts, wanted, names, strict=True):
            kept = {keys[frame]: self._get(keys[frame]) for frame in frames}
            found |= {key: features for key, features in kept.items() if features is not None}
            self.known += sum(features is not None for features in kept.values())
            new = {keys[frame]: frame for frame in frames if keys[frame] not in found}
            if new:
                pixels = pixels_of(prompt.clip, list(new.values()))
                missing.setdefault(tuple(pixels.shape[1:]), {}).update(zip(new, pixels, strict=True))
        for of_one_size in missing.values():
            pairs = list(of_one_size.items())
            for start in range(0, len(pairs), self.at_once):
                found |= self._run(towers, processor, prompts[0], pairs[start : start + self.at_once])
        assert self._behind is not None
        return [
            SeenFrames({frame: found[keys[frame]] for frame in frames}, self._behind)
            for frames, keys in zip(wanted, names, strict=True)
        ]

    def _run(
        self, towers: Towers, processor: LanguageProcessor, prompt: Prompt, pairs: Sequence[tuple[str, Tensor]]
    ) -> dict[str, Tensor]:
        pixels = [frame for _, frame in pairs]
        pixels += [pixels[-1]] * (self.at_once - len(pixels))
        clip = VideoClip("frames", torch.stack(pixels), torch.arange(self.at_once).double(), float(self.at_once))
        seen = towers.see([replace(prompt, clip=clip, layout=_layout(processor, clip))])
        every = torch.stack([seen.tokens_ND, *seen.deepstack])
        one, two = (_tokens(towers, processor, pixels[0].shape, frames) for frames in (1, 2))
        tokens, behind = two - one, 2 * one - two
        if every.shape[1] != self.at_once * tokens + behind:
            raise ValueError(
                f"the vision tower gave {every.shape[1]} features for {self.at_once} frames, not {tokens} a frame and "
                f"{behind} behind the last, as the family lays them out"
            )
        self._behind = every[:, self.at_once * tokens :].clone()
        features = every[:, : self.at_once * tokens].unflatten(1, (self.at_once, tokens))
        self.passed += len(pairs)
        computed = {key: features[:, place].clone() for place, (key, _) in enumerate(pairs)}
        for key, tensor in computed.items():
            self._put(key, tensor)
        return computed

    def _get(self, key: str) -> Tensor | None:
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key]

    def _put(self, key: str, features: Tensor) -> None:
        size = features.numel() * features.element_size()
        if key.startswith(_UNNAMED) or size > self.most:
            return
        self._kept[key] = features
        self._bytes += size
        while self._bytes > self.most:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.numel() * oldest.element_size()


def _layout(processor: LanguageProcessor, clip: VideoClip) -> Layout:
    return processor.family.layout(clip, "", "", processor.encode, processor.markers)


def _tokens(towers: Towers, processor: LanguageProcessor, shape: torch.Size, frames: int) -> int:
    """Video tokens of a clip of so many frames."""
    pixels = torch.empty(frames, *shape, dtype=torch.uint8, device="meta")  # a layout needs their size alone
    clip = VideoClip("frames", pixels, torch.arange(frames).double(), float(frames))
    return int((_layout(processor, clip).ids_L == towers.video_token).sum())


_UNNAMED = "unnamed "


def _keys(clip: VideoClip, place: int) -> list[str]:
    """A key for each frame; frames without a name are only told apart within one call."""
    return clip.frame_names() or [f"{_UNNAMED}{place}/{frame}" for frame in range(len(clip))]
