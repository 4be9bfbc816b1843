"""Adds features of a frozen CLIP or SigLIP to prompts: one of every frame, once a video, and one of the question."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kairos.core.prompt_text import PromptError
from kairos.core.protocols import FeatureStore
from kairos.core.questions import question_stem
from kairos.core.types import Prompt, VideoClip
from kairos.policy.embedding.encoder import ImageTextEncoder, encoder_of
from kairos.video.composed import ComposedClip

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class ClipFeatures:
    """`(prompt) -> prompt` with `clip.features["clip"]` [T, D] and `features["question"]` [D], both fp32.

    They are the projected features, not normalised, of the clip's frames as stored (under the pixel budget) and of the
    question's stem. A clip that has features already keeps them. Picklable; nothing is loaded before a feature is
    missing in the store.

    Source: TSPO (arXiv 2508.04369), where features are of the frames at native size, in bf16, once a question.
    """

    weights: str
    """A CLIP or SigLIP: "mini_clip", a folder, or a Hugging Face id."""
    store: FeatureStore | None = None
    """Keeps the features of clips and questions; None computes them each time."""
    dtype: str = "float32"
    """Of the model and of what is stored: float32, or bfloat16 (faster on a GPU)."""
    device: str | None = None
    """None: the GPU where there is one; the CPU in a data loader's workers."""
    batch: int = 64
    """Frames a pass."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"enrich.clip.dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.batch < 1:
            raise ValueError(f"enrich.clip.batch must be >= 1 frame, got {self.batch}")
        if self.device is not None and torch.device(self.device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"enrich.clip.device={self.device}: torch sees no GPU here: say null, or cpu")

    def __call__(self, prompt: Prompt) -> Prompt:
        """PromptError for a prompt without a question; ValueError where features are of another clip or encoder."""
        clip = prompt.clip
        frames_TD = clip.features["clip"] if "clip" in clip.features else self.of_clip(clip)
        question_D = self.of_text(prompt.question)
        if frames_TD.shape != (len(clip), len(question_D)):
            raise ValueError(
                f"prompt {prompt.uid}: clip {clip.uid} has {len(clip)} frames, and {self.weights} gives features of "
                f"width {len(question_D)}, but the clip's features are {list(frames_TD.shape)}: they are of another "
                "clip or of another encoder; make them again with the same enrich= and frames="
            )
        return replace(
            prompt,
            clip=replace(clip, features={**clip.features, "clip": frames_TD}),
            features={**prompt.features, "question": question_D},
        )

    def of_clip(self, clip: VideoClip) -> Tensor:
        """[T, D] of a clip's frames, those of a composed clip from its parts'.

        ValueError for a clip without frames, or stored features of another number.
        """
        if isinstance(clip, ComposedClip):
            return clip.per_frame(self.of_clip)
        encoder = self._encoder
        key = f"{encoder.name}/{encoder.frame_names(clip)}"
        assert clip.frames_TCHW is not None
        frames = clip.frames_TCHW
        found = self._stored(key, lambda: encoder.frames(frames, self.batch))
        if len(found) != len(clip):
            raise ValueError(
                f"clip {clip.uid} has {len(clip)} frames, but {len(found)} features are stored as {key}: delete that "
                "file of the feature store, and they are made again"
            )
        return found.float()

    def of_text(self, text: str) -> Tensor:
        """[D] of a question's stem, cut at the encoder's length. PromptError where no word is left."""
        stem = question_stem(text)
        if not stem:
            raise PromptError(
                f"no word is left of the question {text!r} without its instructions and options: correct the row, or "
                "leave it out"
            )
        key = f"{self._encoder.name}/{hashlib.blake2b(stem.encode(), digest_size=16).hexdigest()}-text"
        return self._stored(key, lambda: self._encoder.text(stem)).float()

    def _stored(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """What the store has, else what `compute` gives, which is stored."""
        if self.store is not None and (found := self.store.get(key)) is not None:
            return found
        computed = compute()
        if self.store is not None:
            self.store.put(key, computed)
        return computed

    @property
    def _encoder(self) -> ImageTextEncoder:
        return encoder_of(self.weights, self.dtype, self.device)
