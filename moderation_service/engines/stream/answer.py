"""One answer while it is being written: text in, verdicts of its tokens out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...conversation import Message
from ...verdict import Target
from ..base import Deadline
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
    `salt` names the conversation to the server's cache, and must be nobody else's. Tokens that end at or before
    character `judged_to` were judged before and are context as well.
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
        judged_to: int = 0,
    ) -> None:
        self._turns = turns
        self._ask = ask
        self._tokenizer = tokenizer
        self._labels = labels
        self._salt = salt or secrets.token_hex(16)
        self._text = GrowingText(tokenizer)
        self._begun = len(begun)
        self._tokens: list[Token] = self._text.append(begun)
        self._judged_to = self._begun + judged_to
        # Tokens up to this number were judged, or need not be.
        self._judged = 0
        self._windows: tuple[int, AnswerWindows] | None = None

    def add(self, text: str, *, is_last: bool, deadline: Deadline) -> list[JudgedToken]:
        """Judge what can be judged now that this text has come, and everything at the end.

        If it raises (ModerationError), the text is not lost: what was not judged is judged with the next call.
        """
        self._tokens += self._text.append(text)
        if is_last:
            self._tokens += self._text.finish()
        if self._judged == 0:
            self._judged = self._first_to_judge()
        new = self._tokens[self._judged :]
        if not new:
            return []
        verdicts: list[TokenVerdict] = []
        for rows in self._ask(self._windows_to_judge, self._salt, deadline):
            verdicts += self._labels.read(rows, Target.RESPONSE)
        self._judged = len(self._tokens)
        return [
            JudgedToken(verdict, max(one.begin - self._begun, 0), max(one.end - self._begun, 0))
            for one, verdict in zip(new, verdicts, strict=True)
        ]

    def _first_to_judge(self) -> int:
        """The first token that was not judged before; or the one before it, on which it depends whether it counts."""
        at = next((at for at, one in enumerate(self._tokens) if max(one.begin, one.end - 1) >= self._judged_to), None)
        if at is None:
            return len(self._tokens)
        return at - 1 if at > 0 and self._judged_to > self._begun else at

    def _windows_to_judge(self, context_tokens: int) -> Sequence[Window]:
        if self._windows is None or self._windows[0] != context_tokens:
            windows = AnswerWindows(self._turns, self._tokenizer, context_tokens=context_tokens)
            self._windows = context_tokens, windows
        return self._windows[1].of([one.id for one in self._tokens], self._judged)
