"""Turns a prompt, its chat messages and its clip, into the token ids and positions that a language policy reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, ProcessorMixin

from kairos.core.types import Layout, Prompt
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.family import Family
from kairos.policy.models.chat_template import render
from kairos.policy.models.hub_processor import with_thinking
from kairos.policy.models.mini_tokenizer import CHAT_TEMPLATE
from kairos.policy.models.weights import check_reachable, locate
from kairos.policy.network.layouts import Markers, frames_in
from kairos.policy.network.special_tokens import check_prompt, special_tokens
from kairos.video.budget import PixelBudget

_MOST_CACHED = 10_000


@dataclass(frozen=True)
class LanguageProcessor:
    """`(prompt) -> Layout`, shared by the policy and the data.

    The tokenizer is loaded at the first call. Only the fields are pickled: a loader's worker loads its own tokenizer.
    """

    tokenizer: str
    """Whatever `policy.weights` may be: a run, a checkpoint, a Hugging Face folder or id."""
    family: Family = field(default_factory=Qwen3VL)
    """Which lays clips out."""
    chat_template: str | None = None
    """Jinja. None: the family's own, else the tokenizer's, else Qwen's plain form."""
    thinking: bool | None = None
    """`enable_thinking` for the chat template; None leaves the template's default."""

    def __call__(self, prompt: Prompt) -> Layout:
        """ValueError unless the prompt has frames and a template whose messages show the clip exactly once.

        PromptError where its question, options or demonstration hold a special token of the tokenizer.
        """
        frames_in(prompt)
        check_prompt(prompt, self._special, self.encode, self.markers.text)
        if prompt.template is None:
            raise ValueError(f"prompt {prompt.uid} has no template, so its wording is unknown")
        text = self.text(prompt.template.messages(prompt))
        before, *rest = text.split(self.markers.text)
        if len(rest) != 1:
            raise ValueError(f"prompt {prompt.uid} shows its clip {len(rest)} times; its messages must hold one video")
        return self.family.layout(prompt.clip, before, rest[0], self.encode, self.markers)

    def text(self, messages: list[dict[str, object]]) -> str:
        """The conversation as one string that ends with the opening of the assistant's turn.

        ValueError where the chat template cannot be rendered within a bounded amount of work.
        """
        template = self.own_chat_template or CHAT_TEMPLATE
        mode = {} if self.thinking is None else {"enable_thinking": self.thinking}
        return render(template, messages, {**self.loaded.special_tokens_map, **mode}, self.tokenizer)

    @property
    def own_chat_template(self) -> str | None:
        """The processor's, the family's or the tokenizer's; None where none of them has one."""
        tokenizers = cast("str | None", self.loaded.chat_template)
        return self.chat_template or self.family.chat_template or tokenizers

    def hub_processor(self, budget: PixelBudget) -> ProcessorMixin | None:
        """transformers' processor with the same tokens, patches and wording of a conversation; None if it has none."""
        template = with_thinking(self.own_chat_template or CHAT_TEMPLATE, self.thinking)
        return self.family.hub_processor(self.loaded, template, budget)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`. The ids of the first 10,000 distinct texts are cached: timestamps, fixed wordings."""
        ids = self._cached_ids.get(text)
        if ids is None:
            ids = self._encoder.encode(text, add_special_tokens=False).ids
            if len(self._cached_ids) < _MOST_CACHED:
                self._cached_ids[text] = ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return self._encoder.decode(ids, skip_special_tokens=True)

    def decode_all(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens included."""
        return self._encoder.decode(list(ids), skip_special_tokens=False)

    @cached_property
    def loaded(self) -> PreTrainedTokenizerBase:
        """The tokenizer, loaded when it is first asked for."""
        base = locate(self.tokenizer).base
        check_reachable(base)
        return AutoTokenizer.from_pretrained(base, trust_remote_code=False)

    @cached_property
    def end(self) -> int:
        """The token that ends an answer."""
        end = self.loaded.eos_token_id
        if not isinstance(end, int):
            raise ValueError(f"the tokenizer {self.tokenizer} must name one eos_token, which ends an answer; got {end}")
        return end

    @cached_property
    def markers(self) -> Markers:
        """How a video stands in a text."""
        return self.family.markers(self.loaded)

    @cached_property
    def _encoder(self) -> Tokenizer:
        return cast("Tokenizer", self.loaded.backend_tokenizer)

    @cached_property
    def _special(self) -> dict[int, str]:
        return special_tokens(self.loaded)

    @cached_property
    def _cached_ids(self) -> dict[str, list[int]]:
        return {}

    def __getstate__(self) -> dict[str, object]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}
