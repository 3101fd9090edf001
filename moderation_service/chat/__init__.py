"""The guarded chat: a chat model behind this service, whose prompts and answers are judged on their way.

`session` joins the parts: `upstream` talks to the model's server, `background` judges meanwhile, `answer` holds what
may not be shown yet. `sse` and `http_reply` read what the server sends.
"""

from __future__ import annotations

from .options import ChatOptions
from .refusal import ChatModelRefused
from .session import GuardedSession
from .turns import Turns
from .upstream import ChatUpstream

__all__ = ["ChatModelRefused", "ChatOptions", "ChatUpstream", "GuardedSession", "Turns"]
