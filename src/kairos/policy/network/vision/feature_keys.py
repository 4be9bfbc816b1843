"""Names clips and vision towers by content, for the keys of stored features: equal names mean equal features."""

from __future__ import annotations

import hashlib
import json
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import PreTrainedConfig

from kairos.core.types import Prompt, VideoClip
from kairos.policy.network.kernels.modules import modules_of, parameters_of
from kairos.policy.network.layouts import layout_of
from kairos.video.store.mapped import content_name

VERSION = "3"
"""Raise it when our code changes what a tower computes."""
_IGNORED_KEYS = {"transformers_version", "dtype", "torch_dtype"}


class FrameNames:
    """`(clip) -> name` of a clip's frames, by content.

    A memory-mapped clip is named by its file, which depends on content and pixel budget. Other frames are hashed once a
    tensor, and again after the tensor was written to. ValueError for a clip without frames.
    """

    def __init__(self) -> None:
        self._hashed: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def __reduce__(self) -> tuple:
        return FrameNames, ()  # what was hashed belongs to this process's tensors

    def __call__(self, clip: VideoClip) -> str:
        if clip.frames_TCHW is None or not len(clip):
            raise ValueError(f"clip {clip.uid} has no frames; features are computed from a decoded clip")
        return content_name(clip) or self._hash(clip.frames_TCHW)

    def _hash(self, frames: Tensor) -> str:
        known = self._hashed.get(frames)
        if known is None or known[0] != frames._version:
            digest = hashlib.blake2b(f"{tuple(frames.shape)}{frames.dtype}".encode(), digest_size=16)
            digest.update(_bytes(frames))
            known = self._hashed[frames] = (frames._version, digest.hexdigest())
        return known[1]


class ClipNames:
    """`(prompt) -> name` of the frames that the prompt shows: `FrameNames`, and which of them its layout takes."""

    def __init__(self) -> None:
        self._frames = FrameNames()

    def __call__(self, prompt: Prompt) -> str:
        layout = layout_of(prompt)
        taken = None if layout.frames is None else layout.frames.tolist()
        facts = json.dumps([taken, layout.grid_thw_N3.tolist()])
        return f"{self._frames(prompt.clip)}-{hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()}"


class TowerName:
    """`(tower, family) -> name`: a hash of weights and configuration, renewed after a write, a move or a conversion.

    A write through `.data` goes unnoticed.
    """

    def __init__(self) -> None:
        self._stamp: object = None
        self._name = ""

    def __call__(self, tower: nn.Module, family: object) -> str:
        """32 hexadecimal digits. The type of device is part of the hash: kernels of another one round differently."""
        stamp = [(id(p), p._version, p.dtype, p.device) for p in parameters_of(modules_of(tower))]
        if stamp != self._stamp:
            self._stamp, self._name = stamp, _name_of(tower, family)
        return self._name


def _name_of(tower: nn.Module, family: object) -> str:
    config = cast("PreTrainedConfig", tower.config).to_dict()
    sizes = {name: value for name, value in config.items() if name not in _IGNORED_KEYS and not name.startswith("_")}
    device = next(tower.parameters()).device.type
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([VERSION, repr(family), device, sizes], sort_keys=True, default=str).encode())
    for name, tensor in sorted(tower.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
