"""The stretches of a text that are scored on their own, and the n-grams that go with each."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .foreign_ngrams import ForeignHead
from .ngrams import TEXT_CHARS, LinearHead
from .text import WINDOW_CHARS, edge_sentences, windows
from .units import Unit, sentences

__all__ = ["Blocks", "Span", "answer_parts", "beginning_and_edges", "prompt_logits", "window_spans"]

# What another place must be worse by than the first window. For windows it grows with the logarithm of their number:
# the highest of many harmless scores would else flag every long text.
_SEGMENT_DISCOUNT, _WINDOW_DISCOUNT, _WINDOW_DISCOUNT_GROWTH = 0.75, 0.5, 0.25
# A window of Chinese says as much as two of English, and what is harmful in it may be a small part. With parts of
# English windows, too, fewer of the harmful answers that stand alone are found than more of those beside harmless text.
_PART_CHARS, _PART_DISCOUNT, _PART_DISCOUNT_GROWTH = 150, 1.25, 0.25


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


def beginning_and_edges(cleaned: str, found: Sequence[Unit]) -> list[Span]:
    """The first window of a prompt, and its edge sentences where they stand; `found` are the text's units.

    Of a text too short for these or of two sentences, every sentence is an edge: something harmless beside a request is
    the simplest way to hide it.
    """
    beginning = Span(windows(cleaned[: 2 * WINDOW_CHARS])[0][1], 0, 0.0, 0)
    edges = [(segment, cleaned.rfind(segment)) for segment in edge_sentences(cleaned)]
    if not edges:
        parts = [*found[:1], *found[1:][-1:]] if found else sentences(cleaned)
        edges = [(part.text, part.start) for part in parts] if len(parts) > 1 else []
    return [
        beginning,
        *(Span(segment, None, _SEGMENT_DISCOUNT, at if at >= 0 else None) for segment, at in edges),
    ]


def answer_parts(stretches: Sequence[tuple[int, str]], characters: int) -> list[Span]:
    """Runs of whole sentences of a Chinese response, each in one paragraph; none where one would hold all of it.

    `stretches` are what is read of the response, each with where it begins; `characters` is the length of all of it.
    """
    places: list[tuple[int, str]] = []
    for at, text in stretches:
        runs: list[tuple[int, int]] = []
        for one in sentences(text):
            start, end = runs[-1] if runs else (one.start, one.start)
            is_new_paragraph = text[end : one.start].count("\n") > 1
            if one.end - start <= _PART_CHARS and not is_new_paragraph:
                runs[-1:] = [(start, one.end)]
            else:
                runs.append((one.start, one.end))
        places += [(at + start, text[start:end]) for start, end in runs]
    count = max(1, len(places), characters // _PART_CHARS)
    discount = _PART_DISCOUNT + _PART_DISCOUNT_GROWTH * math.log(count)
    return [Span(text, None, discount, start) for start, text in places if len(places) > 1]


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
