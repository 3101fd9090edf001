"""Qwen3's tokenizer, as far as judging text needs it: text into token ids, and how far it may still change.

What is in a `tokenizer.json` of this family: NFC, a split into words by a pattern, byte-level BPE inside each word.
The steps are called one by one instead of all at once, for three reasons. Text never becomes a control token, whatever
it spells: those are found by their exact place in a template only. Every token has its place in the original text.
And it can be said which tokens of a growing text are final (`growing_text`).
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.extras import install_command
from ...errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as HuggingFaceTokenizer

__all__ = ["Control", "Tokenizer", "Word"]

Word = tuple[str, int, int]
"""A word with one character per byte, and where it begins and ends in the text."""


class Control:
    """The ids of the control tokens that a chat is made of."""

    def __init__(self, tokenizer: HuggingFaceTokenizer) -> None:
        self.turn_begins = _control_id(tokenizer, "<|im_start|>")
        self.turn_ends = _control_id(tokenizer, "<|im_end|>")
        self.thinking_begins = _control_id(tokenizer, "<think>")
        self.thinking_ends = _control_id(tokenizer, "</think>")


class Tokenizer:
    """A tokenizer of Qwen3's family. Safe to use from many threads.

    `size` counts the ordinary tokens, whose ids begin at 0; `longest` is the length of the longest in bytes.
    """

    def __init__(self, tokenizer: HuggingFaceTokenizer) -> None:
        self._tokenizer = tokenizer
        self._model: Any = tokenizer.model
        self.control = Control(tokenizer)
        vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        self._spellings = sorted(vocabulary)
        self.size = len(vocabulary)
        self.longest = max(map(len, vocabulary))
        self._check()

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """The tokenizer of this file. Raises ConfigurationError."""
        try:
            from tokenizers import Tokenizer as HuggingFaceTokenizer
        except ImportError:
            needed = "Token-level judging needs the package `tokenizers`. To install it: "
            raise ConfigurationError(needed + install_command("stream")) from None
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: can't be read ({type(error).__name__}).") from None
        try:
            tokenizer = HuggingFaceTokenizer.from_str(content)
        except Exception as error:  # the library raises nothing narrower
            raise ConfigurationError(f"{path}: is not a tokenizer ({error}).") from None
        return cls(tokenizer)

    def normalised(self, text: str) -> str:
        """The text in the form that the model was trained on, NFC."""
        normal: str = self._tokenizer.normalizer.normalize_str(text)
        return normal

    def words(self, text: str) -> list[Word]:
        """The words of a normalised text. They are tokenised independently of each other."""
        split: Any = self._tokenizer.pre_tokenizer
        return [(spelling, begin, end) for spelling, (begin, end) in split.pre_tokenize_str(text)]

    def pieces(self, spelling: str) -> tuple[list[int], list[int]]:
        """The ids of a word's tokens, and for each the number of bytes of the word up to its end."""
        ids, ends, at = [], [], 0
        for token in self._model.tokenize(spelling):
            at += len(token.value)
            ids.append(token.id)
            ends.append(at)
        return ids, ends

    def may_go_on(self, spelling: str) -> bool:
        """Whether a token exists that begins with these bytes and goes on behind them."""
        at = bisect_right(self._spellings, spelling)
        return at < len(self._spellings) and self._spellings[at].startswith(spelling)

    def encode(self, text: str) -> list[int]:
        """The ids of a whole text; control tokens that it spells are plain text."""
        found: list[int] = []
        for spelling, _, _ in self.words(self.normalised(text)):
            found += self.pieces(spelling)[0]
        return found

    def _check(self) -> None:
        """That it works as the rest relies on: NFC, and every byte has a token, so that no text is ever left out."""
        if self._tokenizer.normalizer is None or self.normalised("e\u0301") != "\u00e9":
            raise ConfigurationError("tokenizer.json: does not normalise to NFC; this is not Qwen3's tokenizer.")
        everything = "".join(map(chr, (*range(0x20), 0x7F, *range(0xC0, 0x800), 0x3042, 0xF8FF, 0x1F600, 0x10FFFF)))
        words = self.words(everything)
        whole = sum(len(spelling) for spelling, _, _ in words) == len(everything.encode())
        if not whole or any(self.pieces(spelling)[1][-1:] != [len(spelling)] for spelling, _, _ in words):
            raise ConfigurationError("tokenizer.json: leaves bytes out; this is not a byte-level BPE tokenizer.")


def _control_id(tokenizer: HuggingFaceTokenizer, name: str) -> int:
    found: int | None = tokenizer.token_to_id(name)
    if found is None:
        raise ConfigurationError(f"tokenizer.json: has no token {name}; this is not Qwen3's tokenizer.")
    return found
