"""Packs a batch into a few flat tensors on its way from a data loader's worker to the trainer.

Otherwise torch shares each small tensor through a file descriptor of its own: thousands for a batch. The rest of the
batch is pickled, between two processes of one run; videos are decoded in a third, whose answers are not pickled.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from kairos.core.types import Prompt, PromptBatch, VideoClip
from kairos.video.composed import ComposedClip
from kairos.video.store.mapped import content_name


@dataclass(frozen=True)
class Parcel:
    """A packed batch."""

    skeleton: bytes
    """The pickled batch, with a number in place of each tensor."""
    flat: dict[torch.dtype, Tensor]
    """All tensors of a dtype, flattened and concatenated."""
    places: list[tuple[torch.dtype, int, tuple[int, ...]]]
    """(dtype, offset, shape) of each tensor."""

    def pin_memory(self) -> Parcel:
        """Called by torch's pinning thread, so that frames are copied to the GPU asynchronously."""
        return replace(self, flat={dtype: tensor.pin_memory() for dtype, tensor in self.flat.items()})


def send(batch: PromptBatch) -> Parcel:
    """Pack a batch, in the worker; reads memory-mapped frames."""
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
    """Unpack a batch, in the trainer; its tensors are views of the flat ones."""
    return _Unpickler(parcel).load()


def _plain(prompt: Prompt) -> Prompt:
    clip = prompt.clip
    if isinstance(clip, ComposedClip):
        return prompt  # its parts are pickled as file names, and only frames that are taken are ever read
    tensors, facts = (clip.frames_TCHW, clip.seconds_T), (clip.duration, dict(clip.features))
    plain = VideoClip(clip.uid, *tensors, *facts, content_name(clip), clip.source, clip.frame_contents)
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
