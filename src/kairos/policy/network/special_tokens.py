"""Finds the special tokens of a tokenizer that a text spells out: they would be encoded as what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from kairos.core.prompt_text import PromptError, control_fault
from kairos.core.types import Prompt


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Every special token by its id: of a chat, of pictures and videos, of padding."""
    added = cast("Mapping[int, AddedToken]", tokenizer.added_tokens_decoder)
    return {number: token.content for number, token in added.items() if token.special}


def special_token_fault(special: Mapping[int, str], ids: Iterable[int]) -> str | None:
    """Why a text whose token ids are `ids` is none; None if it is. `special` is what `special_tokens` returned."""
    found = next((number for number in ids if number in special), None)
    return None if found is None else control_fault(special[found])


def check_prompt(
    prompt: Prompt, special: Mapping[int, str], encode: Callable[[str], Sequence[int]], marker: str = ""
) -> None:
    """PromptError where the prompt's own texts spell out a special token, or the `marker` that stands for a video."""
    written = "\n".join((prompt.question, *prompt.options, prompt.target.demonstration or ""))
    fault = special_token_fault(special, encode(written))
    if fault is None and marker and marker in written:
        fault = control_fault(marker)
    if fault is not None:
        raise PromptError(f"prompt {prompt.uid}: its question, options or demonstration {fault}")
