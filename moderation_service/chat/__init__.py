"""The guarded chat: a chat model behind this service, whose prompts and answers are judged on their way.

`session` joins the parts: `upstream` talks to the model's server, `background` judges meanwhile, and what may not be
shown yet waits in a `row`, the core of every answer. What differs between the contracts is a `Contract`.
"""

from __future__ import annotations

from .completions import Completions
from .messages import Messages
from .options import ChatOptions
from .refusal import ChatModelRefused, tellable
from .responses import Responses
from .session import GuardedSession
from .text_completions import TextCompletions
from .turns import Turns
from .upstream import ChatUpstream

__all__ = [
    "ChatModelRefused",
    "ChatOptions",
    "ChatUpstream",
    "Completions",
    "GuardedSession",
    "Messages",
    "Responses",
    "TextCompletions",
    "Turns",
    "tellable",
]
