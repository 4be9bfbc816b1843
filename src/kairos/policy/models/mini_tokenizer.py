"""Builds the small byte-level BPE tokenizer of the mini policy from a list of texts.

It encodes any text (256 byte tokens). Numbers are split into pieces of at most two digits. A word's token includes the
space before it, but a space before a number is a separate token, so that a time has the same tokens everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import cast

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

END = "<|im_end|>"
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", END, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
WHOLE = ("<think>", "</think>", "<answer>", "</answer>", " seconds>")
PIECES = r"\d{1,2}| (?=\d)| ?\p{L}+| ?[^\s\p{L}\d]+|\s+(?!\S)|\s+"
CHAT_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}"
    "{%- for part in message.content %}"
    "{%- if part.type == 'video' %}{{- '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'text' %}{{- part.text }}{%- endif %}"
    "{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def build_tokenizer(texts: Sequence[str], folder: str | Path, vocabulary: int = 1024) -> Path:
    """Learn the merges from `texts` and write a folder that `AutoTokenizer.from_pretrained` loads. Returns the folder.

    `vocabulary` bounds the number of tokens, the 256 bytes and the added tokens included. ValueError when it is too
    small for any merges, or when `texts` is empty.
    """
    room = vocabulary - len(SPECIAL) - len(WHOLE)
    if room <= 256 + 100:
        raise ValueError(f"vocabulary must exceed {256 + 100 + vocabulary - room}, got {vocabulary}")
    if not texts:
        raise ValueError("a tokenizer cannot be learnt from no texts")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=room, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
    )
    numbers = repeat(" ".join(f"{number:02d}" for number in range(100)), len(texts))
    plain = (_without_whole(text) for text in texts)
    tokenizer.train_from_iterator(chain(plain, numbers), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in WHOLE])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(str(folder))
    return Path(folder)


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of one added token; ValueError when the tokenizer has none."""
    added = cast("Callable[[], dict[str, int]]", tokenizer.get_added_vocab)
    number = added().get(token)
    if number is None:
        raise ValueError(f"the tokenizer {tokenizer.name_or_path} has no token {token}; a video policy needs it")
    return number


def _without_whole(text: str) -> str:
    for token in (*SPECIAL, *WHOLE):
        text = text.replace(token, "\n")
    return text
