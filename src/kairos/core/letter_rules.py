"""Letters of a choice as published evaluations read them; each replaces `Letter` in a grammar.

`Letter` is ours. These are rules of other harnesses, some of which find a letter where none is meant: they serve to
compare with their numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kairos.core.patterns import Letter


@dataclass(frozen=True)
class FirstCapital(Letter):
    """The first of the letters anywhere, inside a word too (VLMEvalKit's Video-MME).

    >>> FirstCapital("ABCD").first("Based on the video: C")
    'B'
    """

    def first(self, text: str) -> str | None:
        found = re.search(f"[{self.letters}]", text)
        return found[0] if found else None


@dataclass(frozen=True)
class LoneLetter(Letter):
    """A letter that the text begins with, before a full stop; else the first that stands alone, in either case.

    lmms-eval's MVBench: an article "a" is read as A.

    >>> LoneLetter("ABCDE").first("It shows a dog, so B")
    'A'
    """

    def first(self, text: str) -> str | None:
        found = re.match(rf"\s*+([{self.letters}])\.", text)
        found = found or re.search(rf"(?<!\w)([{self.letters}])(?!\w)", text, re.IGNORECASE)
        return found[1].upper() if found else None


@dataclass(frozen=True)
class BesideBracket(Letter):
    """The character before the first ")"; with `fallbacks` else the one after the first "(", else the first of all.

    MLVU reads the first kind alone, LVBench all three. Whatever stands there and is no letter is no answer.
    """

    fallbacks: bool = False

    def first(self, text: str) -> str | None:
        text = text.strip()
        closed, opened = text.find(")"), text.find("(")
        found = text[closed - 1] if closed > 0 else ""
        if not found and self.fallbacks:
            found = text[opened + 1 : opened + 2] if opened >= 0 else text[:1]
        return found if found and found in self.letters else None


@dataclass(frozen=True)
class OptionPrefix(Letter):
    """The text is one letter, or begins with a letter and a full stop or a closing bracket (TempCompass's rules).

    >>> OptionPrefix("ABCD").first("C. passing a basketball"), OptionPrefix("ABCD").first("It is C.")
    ('C', None)
    """

    def first(self, text: str) -> str | None:
        found = re.match(rf"([{self.letters}])(?:[.)]|\Z)", text)
        return found[1] if found else None


@dataclass(frozen=True)
class FirstWord(Letter):
    """The letter of the option whose word the text begins with, in either case: "Yes, he is" is A of ("yes", "no").

    TempCompass's yes/no questions. A longer word counts too: "Nothing" begins with "no".
    """

    words: tuple[str, ...] = ("yes", "no")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "words", tuple(self.words))
        if not 0 < len(self.words) <= len(self.letters) or not all(isinstance(word, str) for word in self.words):
            raise ValueError(f"words must be one text for each letter (in yaml yes and no in quotes), got {self.words}")

    def first(self, text: str) -> str | None:
        begun = text.lower()
        found = (letter for letter, word in zip(self.letters, self.words, strict=False) if begun.startswith(word))
        return next(found, None)

    def spelled(self, letter: str) -> str:
        return self.words[self.letters.index(letter)]
