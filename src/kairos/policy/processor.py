"""Lays a prompt out for a language policy: chat messages and a clip become token ids and positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kairos.core.types import Layout, Prompt
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.family import Family
from kairos.policy.models.mini_tokenizer import CHAT_TEMPLATE, token_id
from kairos.policy.models.weights import locate
from kairos.policy.network.layouts import Markers, frames_in

_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"
_REMEMBERED = 10_000


@dataclass(frozen=True)
class LanguageProcessor:
    """`(prompt) -> Layout`, one for policy and data alike.

    `tokenizer` is whatever `policy.weights` may be, loaded at the first call. `chat_template` (Jinja) replaces the
    tokenizer's own; without either the plain Qwen form is used. `thinking` is what a chat template calls
    enable_thinking (None: its own default). Pickles as its fields: a loader's worker loads anew.
    """

    tokenizer: str
    family: Family = field(default_factory=Qwen3VL)
    chat_template: str | None = None
    thinking: bool | None = None

    def __call__(self, prompt: Prompt) -> Layout:
        """ValueError when the prompt has no frames or no template, or its messages do not show its clip once."""
        frames_in(prompt)
        if prompt.template is None:
            raise ValueError(f"prompt {prompt.uid} has no template, so its wording is unknown")
        text = self.text(prompt.template.messages(prompt))
        before, *rest = text.split(_VIDEO)
        if len(rest) != 1:
            raise ValueError(f"prompt {prompt.uid} shows its clip {len(rest)} times; its messages must hold one video")
        return self.family.layout(prompt.clip, before, rest[0], self.encode, self.markers)

    def text(self, messages: list[dict[str, object]]) -> str:
        """The conversation as one string, the assistant's turn opened."""
        render = cast("Callable[..., str]", self.loaded.apply_chat_template)
        template = self.chat_template or self.loaded.chat_template or CHAT_TEMPLATE
        mode = {} if self.thinking is None else {"enable_thinking": self.thinking}
        return render(messages, chat_template=template, tokenize=False, add_generation_prompt=True, **mode)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; short texts (timestamps, fixed wordings) are remembered."""
        ids = self._memory.get(text)
        if ids is None:
            ids = self._encoder.encode(text, add_special_tokens=False).ids
            if len(self._memory) < _REMEMBERED:
                self._memory[text] = ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return self._encoder.decode(ids, skip_special_tokens=True)

    @cached_property
    def loaded(self) -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(locate(self.tokenizer).base)

    @cached_property
    def end(self) -> int:
        """The token that ends an answer."""
        end = self.loaded.eos_token_id
        if not isinstance(end, int):
            raise ValueError(f"the tokenizer {self.tokenizer} must name one eos_token, which ends an answer; got {end}")
        return end

    @cached_property
    def markers(self) -> Markers:
        tokens = ("<|vision_start|>", "<|video_pad|>", "<|vision_end|>")
        return Markers(*(token_id(self.loaded, token) for token in tokens))

    @cached_property
    def _encoder(self) -> Tokenizer:
        return cast("Tokenizer", self.loaded.backend_tokenizer)

    @cached_property
    def _memory(self) -> dict[str, list[int]]:
        return {}

    def __getstate__(self) -> dict[str, object]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}
