"""What is remembered of a caller's calls: the question until its answer comes, and how far a growing answer has come.

Most gateways send an answer without its question, and an answer that is streamed again and again from its beginning.
Where both carry the id of one call, the question is remembered for a while, so that the answer is judged together with
it, and of the answer how much was judged, so that only what is new is judged again.

Nothing is remembered across callers: a name is the API key's name and the call's id together.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence

from ..core.conversation import Message, Role
from ..core.question import Question
from .growing_answer import Progress
from .shared_store import SharedStore

__all__ = ["CallMemory"]

_BEGUN_CHARS = 2048
"""Of an answer's beginning that the caller wrote, its end: context of the answer's first piece."""
_SAID_CHARS = 4096
"""Of a text in pieces, its end: what is harmful over the border of two pieces is found in it."""
_MAX_ANSWERS = 64
"""Answers of one call whose progress is remembered; a request for more choices is judged whole each time."""


class CallMemory:
    """Questions and the progress of their answers, by caller and call id. Safe under threads and across workers."""

    def __init__(self, store: SharedStore, *, key: bytes | None = None) -> None:
        self._store = store
        self.key = key or os.urandom(32)
        """The key of `growing.Progress`, made before the workers are forked, so that all of them agree."""

    def put_question(self, caller: str | None, call_id: str | None, question: Question) -> None:
        """Remember what the answer under this id will answer: as much of it as goes along with an answer."""
        if call_id is None or not self._store.is_on:
            return
        turns = question.answered("").messages[:-1]
        document = {
            "turns": [[turn.role.value, turn.content] for turn in turns],
            "begun": question.begun[-_BEGUN_CHARS:],
        }
        self._store.put(_name("question", caller, call_id), _encode(document))

    def question(self, caller: str | None, call_id: str | None) -> Question | None:
        """The remembered question; None when there is none."""
        raw = None if call_id is None else self._store.get(_name("question", caller, call_id))
        if raw is None:
            return None
        document = json.loads(raw)
        turns = tuple(Message(Role(role), content) for role, content in document["turns"])
        return Question(turns, document["begun"])

    def put_said(self, caller: str | None, call_id: str | None, target: str, text: str) -> None:
        """Remember the end of a text that comes in pieces under this id: prompt or response, as `target` says."""
        if call_id is not None and self._store.is_on:
            self._store.put(_name("said", caller, call_id, target), text[-_SAID_CHARS:].encode())

    def said(self, caller: str | None, call_id: str | None, target: str) -> str:
        """The end of what came before this piece; empty when there is none."""
        raw = None if call_id is None else self._store.get(_name("said", caller, call_id, target))
        return "" if raw is None else raw.decode()

    def put_progress(
        self, caller: str | None, call_id: str | None, question: Question, policy: str, answers: Sequence[Progress]
    ) -> None:
        """Remember how far the answers to this question have come under this policy."""
        if call_id is not None and self._store.is_on and len(answers) <= _MAX_ANSWERS:
            documents = [answer.to_json() for answer in answers]
            self._store.put(_progress_name(caller, call_id, question, policy), _encode(documents))

    def progress(self, caller: str | None, call_id: str | None, question: Question, policy: str) -> Sequence[Progress]:
        """What was remembered of answers to this very question under this policy."""
        raw = None if call_id is None else self._store.get(_progress_name(caller, call_id, question, policy))
        return [] if raw is None else [Progress.from_json(document) for document in json.loads(raw)]


def _progress_name(caller: str | None, call_id: str, question: Question, policy: str) -> bytes:
    # With the question: what was judged as the answer to another one, under an id used twice, says nothing.
    asked = hashlib.blake2b(_encode([turn.content for turn in question.turns]), digest_size=16).hexdigest()
    return _name("answers", caller, call_id, policy, asked)


def _name(*parts: str | None) -> bytes:
    return _encode(parts)


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
