"""A frozen CLIP or SigLIP of transformers: projected features of frames and texts, in one space, not normalised.

Frames are resized, cropped and normalised by the model's own image processor as a batch of tensors, on the encoder's
device. Its antialiased resize differs from PIL's, with which CLIP was trained, by rounding: on a CPU at most two levels
of 255. A GPU rounds (and clips to 0 to 255) once instead of after each axis: on real videos one value in ten differs by
a level from the CPU's, one in ten thousand by two to seven; on noise, a quarter, by up to twenty.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import torch
from huggingface_hub import snapshot_download
from torch import Tensor, nn
from torch.utils.data import get_worker_info
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor

from kairos.core.prompt_text import PromptError
from kairos.policy.models.weights import locate
from kairos.policy.network.special_tokens import special_token_fault, special_tokens
from kairos.policy.network.vision.feature_keys import FrameNames

VERSION = "1"
"""Raise it when our code changes what an encoder computes."""
_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")


class Pooled(Protocol):
    pooler_output: Tensor


@runtime_checkable
class ImageTextModel(Protocol):
    """What transformers' CLIP, SigLIP and their like share."""

    config: PreTrainedConfig

    def get_image_features(self, **pixels: Tensor) -> Pooled: ...

    def get_text_features(self, **tokens: Tensor) -> Pooled: ...


class ImageTextEncoder:
    """`frames` and `text` of one model. Constructing it is cheap; `name` reads its files, the first feature loads them.

    `weights`: "mini_clip", a folder or a Hugging Face id. `dtype` is that of the model; features are returned in it.
    """

    def __init__(self, weights: str, dtype: torch.dtype, device: torch.device) -> None:
        self.weights, self.dtype, self.device = weights, dtype, device
        self.frame_names = FrameNames()

    @cached_property
    def folder(self) -> Path:
        """Where the files are. ValueError when there are none, or they hold no safetensors."""
        folder = Path(locate(self.weights).base)
        if not folder.is_dir():
            try:
                folder = Path(snapshot_download(self.weights, allow_patterns=list(_FILES)))
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{self.weights} is neither mini_clip, nor a folder, nor a Hugging Face id that can be downloaded "
                    f"here: name one with enrich.clip.weights=<folder or id> ({str(error).splitlines()[0]})"
                ) from error
        if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
            raise ValueError(
                f"{folder} lacks config.json or *.safetensors: name the folder of a CLIP or SigLIP that "
                "save_pretrained wrote (pickled weights are not loaded)"
            )
        return folder

    @cached_property
    def name(self) -> str:
        """32 hexadecimal digits: a hash of weights, configuration, tokenizer, image processor and type.

        The files are hashed, not the loaded tensors: a loader's worker that finds every feature stored loads no model.
        The device is not part of it: a GPU's features, which differ by rounding, are read on any machine.
        """
        digest = hashlib.blake2b(f"{VERSION}{self.dtype}".encode(), digest_size=16)
        for path in files_of(self.folder):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            digest.update(json.dumps([path.name, content]).encode())
        return digest.hexdigest()

    @torch.no_grad()
    def frames(self, frames_TCHW: Tensor, batch: int) -> Tensor:
        """[T, D] on the CPU of uint8 frames [T, 3, H, W], `batch` frames a pass."""
        parts = []
        for chunk in frames_TCHW.split(batch):
            pixels = self._images(chunk.to(self.device), return_tensors="pt")
            parts.append(self._model.get_image_features(**self._ready(pixels)).pooler_output.cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def text(self, text: str) -> Tensor:
        """[D] on the CPU of one text, cut at the model's length, its end token kept.

        PromptError where it spells out a special token, such as an early end.
        """
        ids = cast("list[int]", self._tokenizer.encode(text, add_special_tokens=False))
        if (fault := special_token_fault(special_tokens(self._tokenizer), ids)) is not None:
            raise PromptError(f"the question {text[:80]!r} {fault}")
        length = cast("int", self._model.config.text_config.max_position_embeddings)
        # SigLIP was trained on padded texts, and CLIP's causal attention does not see what stands behind a text.
        tokens = self._tokenizer([text], padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return self._model.get_text_features(**self._ready(tokens)).pooler_output[0].cpu()

    def _ready(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        on_device = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        return {name: t.to(self.dtype) if t.is_floating_point() else t for name, t in on_device.items()}

    @cached_property
    def _model(self) -> ImageTextModel:
        model = AutoModel.from_pretrained(self.folder, dtype=self.dtype, use_safetensors=True, trust_remote_code=False)
        if not isinstance(model, ImageTextModel):
            raise ValueError(
                f"{self.weights} is a {type(model).__name__}: features of frames and of questions need a model of "
                "both, such as CLIP or SigLIP"
            )
        return cast("ImageTextModel", cast("nn.Module", model).requires_grad_(False).eval().to(self.device))

    @cached_property
    def _images(self) -> BaseImageProcessor:
        return AutoImageProcessor.from_pretrained(self.folder, trust_remote_code=False)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)


def files_of(folder: Path) -> list[Path]:
    """Weights, configuration, tokenizer and image processor of a model's folder: all that its features depend on."""
    return sorted({path for pattern in _FILES for path in folder.glob(pattern)})


def encoder_of(weights: str, dtype: str, device: str | None = None) -> ImageTextEncoder:
    """This process's encoder of these weights: loaded once, however many data sets ask for it.

    `device` None: the GPU where there is one, but the CPU in a data loader's worker: a forked process has no CUDA.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() and get_worker_info() is None else "cpu"
    return _encoder(weights, dtype, device)


@lru_cache(maxsize=4)
def _encoder(weights: str, dtype: str, device: str) -> ImageTextEncoder:
    return ImageTextEncoder(weights, getattr(torch, dtype), torch.device(device))
