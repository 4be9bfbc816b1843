"""Finds the special tokens of a tokenizer that a text spells out: they would be encoded as what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from kairos.core.prompt_text import control_fault


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Every special token by its id: of a chat, of pictures and videos, of padding."""
    added = cast("Mapping[int, AddedToken]", tokenizer.added_tokens_decoder)
    return {number: token.content for number, token in added.items() if token.special}


def special_token_fault(special: Mapping[int, str], ids: Iterable[int]) -> str | None:
    """Why a text whose token ids are `ids` is none; None if it is. `special` is what `special_tokens` returned."""
    found = next((number for number in ids if number in special), None)
    return None if found is None else control_fault(special[found])
