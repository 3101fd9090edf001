"""A conversation as the token ids that Qwen3Guard-Stream was trained on, in windows that fit its context. No I/O.

The form is Qwen3's chat template, with a closed think block in front of the answer. Positions matter: the prompt's
verdict stands at the `<|im_end|>` that closes the user's turn and nowhere else; the answer's verdicts stand at its own
tokens, behind the template's.

Too much for the context is judged in windows. Of a long prompt each window holds a part that overlaps the one before.
A long answer goes on in a new window, begun with the last quarter of the one before as context. Before an answer stand
the newest turns that fit half of the context, and of a question that alone is longer, its beginning and its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.conversation import Message, Role
from ...errors import EngineUnavailable, TooLarge
from .tokenizer import Tokenizer

__all__ = ["AnswerWindows", "Window", "prompt_windows"]

_SMALLEST_CONTEXT = 64


@dataclass(frozen=True, slots=True)
class Window:
    """Ids to send, and how many of the last are to be judged.

    `part` is which tokens of a prompt are in it, the first and the one behind the last; None for all of them.
    """

    ids: list[int]
    judged: int
    part: tuple[int, int] | None = None


def prompt_windows(
    turns: Sequence[Message], tokenizer: Tokenizer, *, context_tokens: int, max_windows: int
) -> list[Window]:
    """The windows in which the last turn, the user's, is judged. Raises TooLarge over `max_windows`."""
    _check_context(context_tokens)
    *earlier, last = turns
    prompt = _turn(last, tokenizer)
    if len(prompt) <= context_tokens:
        return [Window([*_newest(earlier, tokenizer, context_tokens - len(prompt)), *prompt], 1)]
    control = tokenizer.control
    header = [control.turn_begins, *tokenizer.encode(f"{last.role.value}\n")]
    content = tokenizer.encode(last.content)
    size = context_tokens - len(header) - 1
    step = size - size // 8
    begins = range(0, max(len(content) - size // 8, 1), step)
    if len(begins) > max_windows:
        raise TooLarge(
            f"The text is too long for the model: {len(begins)} windows of {context_tokens} tokens, "
            f"and the limit is {max_windows} windows."
        )
    return [
        Window([*header, *content[at : at + size], control.turn_ends], 1, (at, min(at + size, len(content))))
        for at in begins
    ]


class AnswerWindows:
    """Where each token of an answer to `turns` is judged, and behind what."""

    def __init__(self, turns: Sequence[Message], tokenizer: Tokenizer, *, context_tokens: int) -> None:
        _check_context(context_tokens)
        control = tokenizer.control
        newline, gap = tokenizer.encode("\n"), tokenizer.encode("\n\n")
        scaffold = [
            *(*newline, control.turn_begins, *tokenizer.encode("assistant\n")),
            *(control.thinking_begins, *gap, control.thinking_ends, *gap),
        ]
        question = _question(turns, tokenizer, context_tokens // 2 - len(scaffold))
        self._before = [*question, *scaffold]
        self._size = context_tokens - len(self._before)
        self._step = self._size - self._size // 4

    @property
    def tokens_before(self) -> int:
        """How many tokens stand before the answer's first, in its first window."""
        return len(self._before)

    def of(self, answer: Sequence[int], begin: int) -> list[Window]:
        """The windows that judge the answer's tokens from number `begin` on, in order."""
        windows = []
        while begin < len(answer):
            number = max(0, -(-(begin + 1 - self._size) // self._step))
            start = number * self._step
            end = min(len(answer), start + self._size)
            windows.append(Window([*self._before, *answer[start:end]], end - begin))
            begin = end
        return windows


def _check_context(context_tokens: int) -> None:
    if context_tokens < _SMALLEST_CONTEXT:
        raise EngineUnavailable("The model server's context is too small for any window.")


def _turn(turn: Message, tokenizer: Tokenizer) -> list[int]:
    control = tokenizer.control
    return [control.turn_begins, *tokenizer.encode(f"{turn.role.value}\n{turn.content}"), control.turn_ends]


def _newest(turns: Sequence[Message], tokenizer: Tokenizer, room: int) -> list[int]:
    """As many of the newest turns as fit, beginning with a user's, each with the line break behind it."""
    newline = tokenizer.encode("\n")
    kept: list[list[int]] = []
    begin = 0
    for number, turn in enumerate(reversed(turns), start=1):
        # A token has at most so many characters that this is cheap to say of a turn that is far too long.
        if len(turn.content) > room * tokenizer.longest:
            break
        ids = [*_turn(turn, tokenizer), *newline]
        room -= len(ids)
        if room < 0:
            break
        kept.append(ids)
        if turn.role is Role.USER:
            begin = number
    return [one for ids in reversed(kept[:begin]) for one in ids]


def _question(turns: Sequence[Message], tokenizer: Tokenizer, room: int) -> list[int]:
    """The last turn and what fits before it; of one that does not fit itself, both ends."""
    *earlier, last = turns
    ids = _turn(last, tokenizer)
    if len(ids) > room:
        head = room // 2
        return ids[:head] + ids[head - room :]
    return [*_newest(earlier, tokenizer, room - len(ids)), *ids]
