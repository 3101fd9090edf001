"""The stretches of a text that are scored on their own, and the n-grams that go with each."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .foreign_ngrams import ForeignHead
from .ngrams import TEXT_CHARS, LinearHead
from .text import WINDOW_CHARS, edge_sentences, windows

__all__ = ["Blocks", "Span", "beginning_and_edges", "prompt_logits", "window_spans"]

# What another place must be worse by than the first window. For windows it grows with the logarithm of their number:
# the highest of many harmless scores would else flag every long text.
_SEGMENT_DISCOUNT, _WINDOW_DISCOUNT, _WINDOW_DISCOUNT_GROWTH = 0.75, 0.5, 0.25


class Span(NamedTuple):
    """A piece of text that is scored; `block` is where the stretch of its n-grams begins, None: the piece itself.

    `start` is where it stands in the text, None for one put together.
    """

    text: str
    block: int | None
    discount: float
    start: int | None

    @property
    def place(self) -> tuple[int, int] | None:
        return None if self.start is None else (self.start, self.start + len(self.text))


class Blocks:
    """N-gram logits of a long text by stretches of bounded length, each computed once."""

    def __init__(self, text: str, size: int, head: LinearHead | ForeignHead) -> None:
        self._text, self._size, self._head = text, size, head
        self._known: dict[int, float] = {}

    def logit(self, span: Span) -> float:
        if span.block is None:
            return self._head.logit(span.text)
        if span.block not in self._known:
            self._known[span.block] = self._head.logit(self._text[span.block : span.block + self._size])
        return self._known[span.block]


def beginning_and_edges(cleaned: str) -> list[Span]:
    """The first window of a prompt, and its edge sentences where they stand."""
    beginning = windows(cleaned[: 2 * WINDOW_CHARS])[0][1]
    edges = [(segment, cleaned.rfind(segment)) for segment in edge_sentences(cleaned)]
    return [
        Span(beginning, 0, 0.0, 0),
        *(Span(segment, None, _SEGMENT_DISCOUNT, at if at >= 0 else None) for segment, at in edges),
    ]


def prompt_logits(cleaned: str, spans: Sequence[Span], head: LinearHead | ForeignHead) -> list[float]:
    """What n-grams say of a prompt's beginning and of its edges; those of all are hashed together."""
    texts = [cleaned[:TEXT_CHARS], *(span.text for span in spans[1:])]
    if len(texts) == 1 or isinstance(head, ForeignHead):
        return [head.logit(text) for text in texts]
    logits: list[float] = head.logits(texts, _no_check).tolist()
    return logits


def _no_check() -> None:
    pass


def window_spans(found: list[tuple[int, str]], size: int) -> list[Span]:
    """Windows with the stretch of `size` characters that holds each; stretches overlap by a window."""
    stride = size - WINDOW_CHARS
    later = _WINDOW_DISCOUNT + _WINDOW_DISCOUNT_GROWTH * math.log(max(1, len(found) - 1))
    return [Span(text, start // stride * stride, later if start else 0.0, start) for start, text in found]
