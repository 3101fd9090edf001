"""One answer while it is being written: text in, verdicts of its tokens out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...core.conversation import Message
from ...core.engine import Deadline
from ...core.verdict import Target
from .growing_text import GrowingText, Token
from .labels import Labels, Rows, TokenVerdict
from .tokenizer import Tokenizer
from .transcript import AnswerWindows, Window

__all__ = ["Answer", "AskRows", "JudgedToken"]

AskRows = Callable[[Callable[[int], Sequence[Window]], str, Deadline], list[Rows]]
"""Asks the server: windows for a context of so many tokens, the salt, until when. One array of rows per window."""


@dataclass(frozen=True, slots=True)
class JudgedToken:
    """A token's verdict and its place: characters of the answer, as in `growing_text.Token`."""

    verdict: TokenVerdict
    begin: int
    end: int


class Answer:
    """An answer to `turns`. Not for several threads at once.

    `begun` is the beginning of an answer that was put into the model's mouth: context, no part of the answer.
    `salt` names the conversation to the server's cache, and must be nobody else's. Of an answer that is resumed, the
    first `judged` tokens were judged already; its text is given again from the beginning.
    """

    def __init__(
        self,
        turns: Sequence[Message],
        *,
        ask: AskRows,
        tokenizer: Tokenizer,
        labels: Labels,
        begun: str = "",
        salt: str | None = None,
        judged: int = 0,
    ) -> None:
        self._turns = turns
        self._ask = ask
        self._tokenizer = tokenizer
        self._labels = labels
        self._salt = salt or secrets.token_hex(16)
        self._text = GrowingText(tokenizer)
        self._begun = len(begun)
        self._ids: list[int] = []
        # Final, and not judged yet.
        self._new: list[Token] = []
        self._judged_before = judged
        self._take(self._text.append(begun))
        if not judged:
            # What stands in the model's mouth is not judged, but for a token that goes on into the answer.
            self._new.clear()
        self._windows: tuple[int, AnswerWindows] | None = None

    def add(self, text: str, *, is_last: bool, deadline: Deadline, is_flushed: bool = False) -> list[JudgedToken]:
        """Judge what can be judged now that this text has come, and everything at the end or with `is_flushed`.

        If it raises (ModerationError), the text is not lost: what was not judged is judged with the next call.
        """
        self._take(self._text.append(text))
        if is_last:
            self._take(self._text.finish())
        elif is_flushed:
            self._take(self._text.flush())
        if not self._new:
            return []
        verdicts: list[TokenVerdict] = []
        for rows in self._ask(self._windows_to_judge, self._salt, deadline):
            verdicts += self._labels.read(rows, Target.RESPONSE)
        new, self._new = self._new, []
        return [
            JudgedToken(verdict, max(one.begin - self._begun, 0), max(one.end - self._begun, 0))
            for one, verdict in zip(new, verdicts, strict=True)
        ]

    @property
    def judged(self) -> int:
        """How many tokens were judged, or need not be."""
        return len(self._ids) - len(self._new)

    def _take(self, tokens: Sequence[Token]) -> None:
        known = max(self._judged_before - len(self._ids), 0)
        self._ids += [one.id for one in tokens]
        self._new += tokens[known:]

    def _windows_to_judge(self, context_tokens: int) -> Sequence[Window]:
        if self._windows is None or self._windows[0] != context_tokens:
            windows = AnswerWindows(self._turns, self._tokenizer, context_tokens=context_tokens)
            self._windows = context_tokens, windows
        return self._windows[1].of(self._ids, self.judged)
