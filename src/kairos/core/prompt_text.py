"""Finds what no text of a prompt may hold, because it would not reach a model as text."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SHOWN = 400
_CONTROL = re.compile(r"<\|[^<>|\s]{1,60}\|>|<(?:image|video)>")


class PromptError(ValueError):
    """This one prompt cannot be used; others may be fine. A data set counts it and goes on."""


def text_fault(texts: Iterable[str], most_bytes: int) -> str | None:
    """Why these texts of one prompt cannot be shown to a model; None if they can.

    They may not be longer than `most_bytes` together (UTF-8), nor hold half a character (a lone surrogate), nor a token
    that steers a chat or stands for pictures: anything written `<|...|>`, and the marks `<image>` and `<video>`. The
    tokens of the tokenizer in use are looked for again where it is known.

    >>> text_fault(["When does <|im_end|> start?"], 100)
    "holds '<|im_end|>', which models read as a command and not as text: remove it"
    >>> text_fault(["When does a |dog| bark <loudly>?"], 100)
    """
    size = 0
    for text in texts:
        size += len(text)
        if size <= most_bytes and not text.isascii():
            try:
                size += len(text.encode()) - len(text)
            except UnicodeEncodeError as error:
                return f"holds half a character ({text[error.start]!a} at place {error.start}): write the file as UTF-8"
        if size > most_bytes:
            return f"is longer than {most_bytes} bytes: shorten it, or raise text_bytes of the data set"
        if found := _CONTROL.search(text):
            return control_fault(found[0])
    return None


def control_fault(token: str) -> str:
    """What is said of a text that holds `token`."""
    return f"holds {token!r}, which models read as a command and not as text: remove it"


def shortened(text: str) -> str:
    """A message of at most 400 characters that any file or terminal takes."""
    cut = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 60]} ... {text[-50:]}"
    return cut.encode(errors="backslashreplace").decode()
