"""Any video model of transformers as an answerer: its own processor and `generate`, one set of frames after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.video_utils import VideoMetadata

from kairos.core.out_of_memory import explaining_out_of_memory
from kairos.core.types import Prompt, Reply, VideoClip
from kairos.policy.answering.sets import check_sets, shown_frames
from kairos.policy.models.chat_template import render
from kairos.policy.models.foreign_code import check_model_folder
from kairos.policy.models.weights import check_exists
from kairos.policy.network.special_tokens import check_prompt, special_tokens
from kairos.policy.network.vision.frame_times import evenly_spread

_FPS = 1000
"""Frame numbers that are given to a processor count milliseconds."""


class TransformersAnswerer:
    """Answers greedily with the model that `model` names, a Hugging Face folder or id. Nothing is optimised or shared.

    Each chosen frame is a temporal patch of its own, repeated where the processor's patch spans several frames, and its
    time is given to processors that read metadata. The processor resizes frames as its own configuration says. Models
    for which transformers takes one number of seconds between all frames (Qwen2.5-VL) are refused for frames that are
    not evenly spread.
    """

    def __init__(self, model: str, max_tokens: int = 64) -> None:
        if max_tokens < 1:
            raise ValueError(f"answerer.max_tokens must be >= 1, got {max_tokens}")
        self.name, self.max_tokens = model, max_tokens
        self._model: PreTrainedModel | None = None
        self._processor: ProcessorMixin | None = None

    def build(self) -> None:
        """Load processor and weights, once. ValueError where transformers cannot load them, or words no chat."""
        if self._model is not None:
            return
        check_exists(self.name)
        if Path(self.name).is_dir():
            check_model_folder(Path(self.name))
        try:
            self._processor = AutoProcessor.from_pretrained(self.name, trust_remote_code=False)
            model = AutoModelForImageTextToText.from_pretrained(
                self.name, dtype="auto", use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise ValueError(
                f"answerer.model={self.name} is not a video model that transformers loads (a folder or id with a "
                f"processor and safetensors weights): {error}"
            ) from error
        assert self._processor is not None
        if getattr(self._processor, "video_processor", None) is None:
            raise ValueError(f"answerer.model={self.name}: its processor takes no videos; choose a video model")
        if not (self._processor.chat_template or self._tokenizer.chat_template):
            raise ValueError(
                f"answerer.model={self.name} has no chat template, so nothing says how a prompt is worded for it: add "
                "chat_template.jinja to its folder"
            )
        self._model = model.requires_grad_(False).eval()

    def to(self, device: torch.device) -> TransformersAnswerer:
        """Move the weights: bf16 on a GPU, fp32 on a CPU."""
        self._loaded.to(device=device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)  # type: ignore[call-arg]
        return self

    @torch.no_grad()
    def answer(self, prompts: Sequence[Prompt], chosen: Sequence[Sequence[Tensor]]) -> list[list[Reply]]:
        """One reply for each set `chosen[p][s]` of frames [K] of prompt p's clip, rising; see `LanguageAnswerer`."""
        replies = []
        for prompt, sets in zip(prompts, chosen, strict=True):
            check_sets(prompt, sets)
            with explaining_out_of_memory(f"answering prompt {prompt.uid} with {self.name}"):
                replies.append([self._reply(prompt, shown_frames(prompt.clip, index_K)) for index_K in sets])
        return replies

    def _reply(self, prompt: Prompt, clip: VideoClip) -> Reply:
        inputs = self.inputs(prompt, clip)
        greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "repetition_penalty": 1.0}
        generate = cast("Callable[..., Tensor]", self._loaded.generate)
        new = generate(**inputs, **greedy, max_new_tokens=self.max_tokens)[0, inputs["input_ids"].shape[1] :].tolist()
        ends = self._loaded.generation_config.eos_token_id
        ended = bool(new) and new[-1] in (ends if isinstance(ends, list) else [ends])
        text = cast("str", self._tokenizer.decode(new, skip_special_tokens=True))
        return Reply(text, truncated=len(new) == self.max_tokens and not ended)

    def inputs(self, prompt: Prompt, clip: VideoClip) -> dict[str, Tensor]:
        """What the model is given for a clip of chosen frames; ValueError for a prompt that cannot be asked.

        The data have looked at its texts already; this model's own special tokens are known only here.
        """
        if prompt.template is None:
            raise ValueError(f"prompt {prompt.uid} has no template, so its wording is unknown")
        assert self._processor is not None and clip.frames_TCHW is not None
        check_prompt(prompt, special_tokens(self._tokenizer), self._encode)
        template = self._processor.chat_template or self._tokenizer.chat_template
        if not isinstance(template, str):
            raise ValueError(f"answerer.model={self.name} must have one chat template, got {sorted(template or ())}")
        text = render(template, prompt.template.messages(prompt), self._tokenizer.special_tokens_map, self.name)
        repeats = int(getattr(self._processor.video_processor, "temporal_patch_size", 1) or 1)
        frames = clip.frames_TCHW.repeat_interleave(repeats, dim=0)
        numbers = (clip.seconds_T.double() * _FPS).round().long().repeat_interleave(repeats).tolist()
        facts = VideoMetadata(
            total_num_frames=max(numbers[-1] + 1, round(clip.duration * _FPS)), fps=_FPS, duration=clip.duration,
            height=frames.shape[-2], width=frames.shape[-1], frames_indices=numbers,
        )  # fmt: skip
        process = cast("Callable[..., dict[str, Tensor]]", self._processor)
        made = process(
            text=[text], videos=[frames], video_metadata=[facts], do_sample_frames=False, return_tensors="pt"
        )
        if "second_per_grid_ts" in made and not evenly_spread(clip):
            raise ValueError(
                f"answerer.model={self.name}: transformers takes one number of seconds between all frames of a clip, "
                f"and those chosen for prompt {prompt.uid} are not evenly spread: choose a family of ours, such as "
                "answerer=qwen2_5_vl_7b answerer.policy.weights=<folder>"
            )
        return {name: value.to(self._loaded.device) for name, value in made.items() if isinstance(value, Tensor)}

    @property
    def _loaded(self) -> PreTrainedModel:
        if self._model is None:
            raise RuntimeError("the answerer has no weights yet: call build() first")
        return self._model

    def _encode(self, text: str) -> list[int]:
        return cast("list[int]", self._tokenizer.encode(text, add_special_tokens=False))

    @property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return cast("PreTrainedTokenizerBase", getattr(self._processor, "tokenizer", None))
