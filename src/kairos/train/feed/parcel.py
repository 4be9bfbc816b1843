"""Carries a batch from a loader's worker to the trainer in a handful of tensors, however many prompts it holds.

Left to itself the loader shares every small tensor through a file descriptor of its own: thousands a batch.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from kairos.core.types import Prompt, PromptBatch, VideoClip
from kairos.video.store.mapped import content_name


@dataclass(frozen=True)
class Parcel:
    """A pickled skeleton, one flat tensor a dtype, and (dtype, offset, shape) of every tensor in the skeleton."""

    skeleton: bytes
    flat: dict[torch.dtype, Tensor]
    places: list[tuple[torch.dtype, int, tuple[int, ...]]]

    def pin_memory(self) -> Parcel:
        """Called by the loader's own thread, so that frames go to the GPU without waiting."""
        return replace(self, flat={dtype: tensor.pin_memory() for dtype, tensor in self.flat.items()})


def send(batch: PromptBatch) -> Parcel:
    """In the worker: memory-mapped frames are read here, and travel with the rest."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(replace(batch, prompts=tuple(_plain(prompt) for prompt in batch.prompts)))
    places, offsets = [], {}
    for tensor in pickler.tensors:
        offset = offsets.get(tensor.dtype, 0)
        places.append((tensor.dtype, offset, tuple(tensor.shape)))
        offsets[tensor.dtype] = offset + tensor.numel()
    flat = {dtype: torch.cat([t.reshape(-1) for t in pickler.tensors if t.dtype == dtype]) for dtype in offsets}
    return Parcel(file.getvalue(), flat, places)


def receive(parcel: Parcel) -> PromptBatch:
    """In the trainer: the same batch; its tensors are views of the flat ones."""
    return _Unpickler(parcel).load()


def _plain(prompt: Prompt) -> Prompt:
    clip = prompt.clip
    tensors = clip.frames_TCHW, clip.seconds_T
    plain = VideoClip(clip.uid, *tensors, clip.duration, dict(clip.features), content_name(clip), clip.source)
    return replace(prompt, clip=plain)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.tensors: list[Tensor] = []

    def persistent_id(self, obj: object) -> int | None:
        if not isinstance(obj, Tensor):
            return None
        self.tensors.append(obj.detach().contiguous())
        return len(self.tensors) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, parcel: Parcel) -> None:
        super().__init__(io.BytesIO(parcel.skeleton))
        self._parcel = parcel

    def persistent_load(self, pid: int) -> Tensor:
        dtype, offset, shape = self._parcel.places[pid]
        return self._parcel.flat[dtype][offset : offset + prod(shape)].view(shape)
