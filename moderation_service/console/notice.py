"""What is said once, on the page that somebody is sent to: it waits in a cookie and is text, whatever is in it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Literal

from werkzeug.wrappers import Request, Response

__all__ = ["Notice", "forget_notice", "keep_notice", "read_notice"]

_COOKIE = "moderation_notice"
_PATH = "/console"
_MAX_CHARS = 400
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the visitor, and whether it tells of something done or of a mistake."""

    kind: Literal["done", "mistake"]
    text: str


def keep_notice(response: Response, notice: Notice) -> None:
    """Have the next page say it."""
    content = json.dumps([notice.kind, notice.text[:_MAX_CHARS]]).encode()
    value = base64.urlsafe_b64encode(content).decode()
    response.set_cookie(_COOKIE, value, max_age=_SECONDS, path=_PATH, httponly=True, samesite="Lax")


def read_notice(request: Request) -> Notice | None:
    """What is to be said on this page."""
    try:
        kind, text = json.loads(base64.urlsafe_b64decode(request.cookies.get(_COOKIE, "")))
    except (ValueError, TypeError, RecursionError):  # a cookie that was made up
        return None
    if kind not in ("done", "mistake") or not isinstance(text, str):
        return None
    return Notice(kind, text[:_MAX_CHARS])


def forget_notice(response: Response) -> None:
    """It was said."""
    response.delete_cookie(_COOKIE, path=_PATH)
