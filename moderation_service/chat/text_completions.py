"""OpenAI's completions without roles as a guarded session speaks them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..core.verdict import Decision
from ..wires.guarded_completions import as_text
from .completions import Completions
from .contract import Moderation

__all__ = ["TextCompletions"]


class TextCompletions(Completions):
    """One request for completions: a chat whose choices have `text`, as the answer to it knows them too."""

    path = "/v1/completions"
    param = "prompt"

    def refused(self, decision: Decision, moderation: Moderation | None) -> Mapping[str, object]:
        """The whole reply to a prompt that was blocked."""
        return as_text(super().refused(decision, moderation))

    def whole(self, document: Mapping[str, object], moderation: Moderation | None) -> Mapping[str, object]:
        """The server's whole reply, with the choices that were blocked replaced."""
        return as_text(super().whole(document, moderation))

    def write(self, events: Iterable[Mapping[str, object]]) -> bytes:
        """Events as they go to the client."""
        return super().write([as_text(event) for event in events])
