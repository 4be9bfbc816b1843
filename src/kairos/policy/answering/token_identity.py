"""Compares the token ids of a prompt with those that transformers' own processor makes of the same frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from transformers import AutoProcessor, ProcessorMixin
from transformers.video_utils import VideoMetadata

from kairos.core.types import Prompt
from kairos.policy.models.foreign_code import check_model_folder
from kairos.policy.models.weights import locate
from kairos.policy.processor import LanguageProcessor
from kairos.video.budget import PixelBudget

_FPS = 1_000_000
"""Frame numbers that are given to a processor count microseconds."""
_AROUND = 6  # tokens shown on each side of the first difference
_CONFIGS = ("processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class TokenIdentity:
    """Our token ids of a prompt beside those of another processor."""

    uid: str
    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    processor: str
    """The name of the other processor, and where its configuration comes from."""
    decode: Callable[[Sequence[int]], str]

    @property
    def equal(self) -> bool:
        return self.ours == self.theirs

    def __str__(self) -> str:
        if self.equal:
            return f"token ids: {len(self.ours)} of prompt {self.uid}, equal to those of {self.processor}"
        pairs = zip(self.ours, self.theirs, strict=False)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(self.ours), len(self.theirs)))
        start, end = max(0, first - _AROUND), first + _AROUND
        return (
            f"TOKEN IDS DIFFER from those of {self.processor}: prompt {self.uid} has {len(self.ours)} here and "
            f"{len(self.theirs)} there, first different at {first}: {self.decode(self.ours[start:end])!r} here, "
            f"{self.decode(self.theirs[start:end])!r} there"
        )


def token_identity(processor: LanguageProcessor, prompt: Prompt, budget: PixelBudget) -> TokenIdentity | None:
    """Lay a prompt out twice, ours and theirs; None where transformers has no processor for the family.

    Theirs is what the weights' folder or id holds, with its own chat template; where that has none, the class of the
    family with our template. It gets our frames as they are: it neither chooses nor resizes them.
    """
    found = _hub_processor(processor, budget)
    if found is None or prompt.template is None or prompt.clip is None or prompt.clip.frames_TCHW is None:
        return None
    theirs, where = found
    layout = processor(prompt) if prompt.layout is None else prompt.layout
    chosen = slice(None) if layout.frames is None else layout.frames
    frames, seconds = prompt.clip.frames_TCHW[chosen], prompt.clip.seconds_T[chosen]
    numbers = (seconds.double() * _FPS).round().long().tolist()
    facts = VideoMetadata(
        total_num_frames=max(numbers[-1] + 1, round(prompt.clip.duration * _FPS)), fps=_FPS,
        duration=prompt.clip.duration, height=frames.shape[-2], width=frames.shape[-1], frames_indices=numbers,
    )  # fmt: skip
    thinking = {} if processor.thinking is None else {"enable_thinking": processor.thinking}
    worded = cast("Callable[..., str]", theirs.apply_chat_template)
    text = worded(prompt.template.messages(prompt), tokenize=False, add_generation_prompt=True, **thinking)
    process = cast("Callable[..., dict[str, list[list[int]]]]", theirs)
    made = process(
        text=[text], videos=[frames], video_metadata=[facts], do_sample_frames=False, do_resize=False,
        cap_pixels_per_frame=False,
    )  # fmt: skip
    name = f"{type(theirs).__name__} ({where})"
    return TokenIdentity(
        prompt.uid, tuple(layout.ids_L.tolist()), tuple(map(int, made["input_ids"][0])), name, processor.decode_all
    )


def _hub_processor(processor: LanguageProcessor, budget: PixelBudget) -> tuple[ProcessorMixin, str] | None:
    base = locate(processor.tokenizer).base
    folder = Path(base)
    if not folder.is_dir() or any((folder / name).is_file() for name in _CONFIGS):
        if folder.is_dir():
            check_model_folder(folder)
        return AutoProcessor.from_pretrained(base, trust_remote_code=False), base
    ours = processor.hub_processor(budget)
    return None if ours is None else (ours, "transformers' class, with our chat template")
