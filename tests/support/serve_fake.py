"""`moderation-service` with the fake engine in place of the real ones; the word `slow` takes half a second.

An answer with `two spoons` is harmful if its question has `arsenic`, and only then.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fakes import FakeEngine, verdict

from moderation_service import engines
from moderation_service.config.settings import Settings
from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Detail, Severity, Target, Verdict
from moderation_service.errors import ModerationError


class SlowEngine(FakeEngine):
    """Takes its time where it is told to, and quotes the text when it is told to break."""

    def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
        self.calls.clear()
        text = conversations[0].messages[-1].content
        if "slow" in text:
            time.sleep(0.5)
        if "stuck" in text:
            time.sleep(60)
        if "bug" in text:
            raise ValueError(text)
        return super().judge(conversations, **options)

    def _judge(self, conversation: Conversation, detail: Detail) -> Verdict | ModerationError:
        if "two spoons" in (conversation.response or "") and "arsenic" in conversation.prompt:
            return verdict(Severity.UNSAFE, target=Target.RESPONSE)
        return super()._judge(conversation, detail)


def create_engine(settings: Settings, **options: object) -> SlowEngine:
    return SlowEngine()


engines.create_engine = create_engine

from moderation_service.commands.cli import main  # noqa: E402  (the engine has to be in place first)

main()
