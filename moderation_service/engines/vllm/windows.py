"""Conversations that do not fit the model's context, cut into overlapping windows that do. No I/O.

Nothing is left out: every part of the judged turn, and every part of the turns before it, is in some window.

- A judged turn that fits half of a window stays whole; otherwise it is cut into pieces that overlap.
- Each piece is judged behind the newest turns before it, as many as fit.
- Older turns that do not fit beside it get windows of their own, each followed by the judged turn (its first piece
  if it is cut). So an older turn is seen together with what is judged, though not with every piece of it.

Cuts are made between tokens where the server can count them, else between characters, with bytes for tokens: one
token of a byte-level vocabulary is at least one byte, so that is never too few.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core.verdict import Span
from ...errors import EngineUnavailable, TooLarge

__all__ = ["Turn", "Window", "fits_surely", "measure", "measured_tokens", "normalised", "plan"]

# "\n\nASSISTANT: " is five tokens.
_TOKENS_PER_TURN = 8
# NFC, which the tokenizer applies, makes at most three characters of one, of four bytes each.
_MAX_BYTES_PER_CHAR = 12
_JOINT = "\n\n"

ChatMessage = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn with the places where it may be cut.

    `offsets` are byte offsets from 0 to the end, `costs` the tokens before each of them.
    """

    role: str
    content: bytes
    offsets: Sequence[int]
    costs: Sequence[int]

    @property
    def tokens(self) -> int:
        return self.costs[-1]


@dataclass(frozen=True, slots=True)
class Window:
    """A conversation that fits. `span` is what of the normalised judged turn is in it, None for all of it."""

    messages: list[ChatMessage]
    span: Span | None = None


def fits_surely(messages: Sequence[ChatMessage], *, budget_tokens: int) -> bool:
    """Whether the messages can't be over the budget, whatever their tokens are. Cheap; often enough."""
    left = budget_tokens - _TOKENS_PER_TURN * len(messages)
    chars = sum(len(message["content"]) for message in messages)
    if chars * _MAX_BYTES_PER_CHAR <= left:
        return True
    if chars > left:
        return False
    return sum(len(unicodedata.normalize("NFC", message["content"]).encode()) for message in messages) <= left


def normalised(messages: Sequence[ChatMessage]) -> tuple[list[ChatMessage], str]:
    """The messages in NFC, as the tokenizer sees them, and all their contents as one text to be measured."""
    found = [
        {"role": message["role"], "content": unicodedata.normalize("NFC", message["content"])} for message in messages
    ]
    return list(found), _JOINT.join(message["content"] for message in found)


def measure(messages: Sequence[ChatMessage], token_bytes: Sequence[int] | None) -> list[Turn]:
    """The turns of `normalised` messages with the lengths of the joined text's tokens; None measures in bytes."""
    joined = _JOINT.join(message["content"] for message in messages).encode()
    if token_bytes is None:
        ends = [at for at in range(1, len(joined) + 1) if at == len(joined) or joined[at] & 0xC0 != 0x80]
        costs = ends
    else:
        ends, costs = _token_ends(joined, token_bytes)
    turns = []
    start = 0
    for message in messages:
        content = message["content"].encode()
        end = start + len(content)
        low, high = bisect_right(ends, start), bisect_left(ends, end)
        before = costs[low - 1] if low else 0
        # Both edges may lie inside a token that also covers the joint: it counts for either side.
        after = costs[high] if high < len(costs) else before
        offsets = [0, *(ends[at] - start for at in range(low, high)), len(content)]
        prices = [0, *(costs[at] - before for at in range(low, high)), after - before]
        turns.append(Turn(message["role"], content, offsets, prices))
        start = end + len(_JOINT)
    return turns


def measured_tokens(turns: Sequence[Turn]) -> int:
    """What the turns cost of a budget."""
    return sum(turn.tokens + _TOKENS_PER_TURN for turn in turns)


def plan(turns: Sequence[Turn], *, budget_tokens: int, max_windows: int) -> list[Window]:
    """Conversations that fit the budget and together hold all of `turns`. Raises TooLarge over `max_windows`."""
    if measured_tokens(turns) <= budget_tokens:
        return [Window([_message(turn, 0, len(turn.content)) for turn in turns])]
    *context, judged = turns
    # Three more turns than the context has pieces: the judged one, and an empty one to begin with.
    room = budget_tokens - 2 * _TOKENS_PER_TURN
    if room < 4 * _TOKENS_PER_TURN:
        raise EngineUnavailable("The model server's context is too small for any window.")
    context_cost = measured_tokens(context)
    if judged.tokens <= room // 2:
        judged_size, context_size = judged.tokens, room - judged.tokens
    else:
        context_size = min(context_cost, room // 4)
        judged_size = room - context_size
    places = _spans(judged, judged_size)
    pieces = [_message(judged, *place) for place in places]
    spans = [_in_characters(judged, *place) for place in places]
    chunks = _chunks(context, context_size) or [[]]
    windows = [([*chunks[0], piece], span) for piece, span in zip(pieces, spans, strict=True)]
    windows += [([*chunk, pieces[0]], spans[0]) for chunk in chunks[1:]]
    if len(windows) > max_windows:
        raise TooLarge(
            f"The text is too long for the model: {len(windows)} windows of {budget_tokens} tokens, "
            f"and the limit is {max_windows} windows."
        )
    return [Window(_beginning_with_user(messages), span) for messages, span in windows]


def _token_ends(joined: bytes, token_bytes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Where tokens end, and how many have ended there; only places between two characters."""
    ends: list[int] = []
    costs: list[int] = []
    at = 0
    for number, length in enumerate(token_bytes, start=1):
        at += length
        if at == len(joined) or joined[at] & 0xC0 != 0x80:
            ends.append(at)
            costs.append(number)
    return ends, costs


def _spans(turn: Turn, size: int) -> list[tuple[int, int]]:
    """Byte ranges of at most `size` tokens that cover the turn; each shares an eighth with the one before."""
    spans = []
    overlap = size // 8
    begin, last = 0, len(turn.offsets) - 1
    while True:
        # One step at least: a single character always goes through, however many tokens it is.
        end = max(bisect_right(turn.costs, turn.costs[begin] + size) - 1, begin + 1)
        spans.append((turn.offsets[begin], turn.offsets[min(end, last)]))
        if end >= last:
            return spans
        begin = max(bisect_left(turn.costs, turn.costs[end] - overlap), begin + 1)


def _chunks(context: Sequence[Turn], size: int) -> list[list[ChatMessage]]:
    """The turns in groups of at most `size` tokens, the group of the newest first, each group in order."""
    chunks: list[list[ChatMessage]] = []
    free = 0
    for turn in reversed(context):
        cost = turn.tokens + _TOKENS_PER_TURN
        spans = [(0, len(turn.content))] if cost <= size else _spans(turn, max(size - _TOKENS_PER_TURN, 1))
        for span in reversed(spans):
            needed = cost if len(spans) == 1 else size
            if needed > free:
                chunks.append([])
                free = size
            chunks[-1].insert(0, _message(turn, *span))
            free -= needed
    return chunks


def _message(turn: Turn, begin: int, end: int) -> ChatMessage:
    return {"role": turn.role, "content": turn.content[begin:end].decode()}


def _in_characters(turn: Turn, begin: int, end: int) -> Span | None:
    if (begin, end) == (0, len(turn.content)):
        return None
    start = len(turn.content[:begin].decode())
    return Span(start, start + len(turn.content[begin:end].decode()))


def _beginning_with_user(window: list[ChatMessage]) -> list[ChatMessage]:
    """The template drops a leading assistant turn."""
    return window if window[0]["role"] == "user" else [{"role": "user", "content": ""}, *window]
