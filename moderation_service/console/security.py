"""What keeps the console its visitors': headers, the proof that a form is ours, addresses that may be gone to."""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import urlsplit

from werkzeug.wrappers import Request

from ..errors import Forbidden
from .page import ROOT

__all__ = ["HEADERS", "check_form", "csrf_token", "own_address"]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every page: it loads nothing from elsewhere, is framed by nobody, and stays in no cache."""

_TOKEN_HEADER, _TOKEN_FIELD = "X-CSRF-Token", "csrf"
_OWN = frozenset({"same-origin", "none"})
_OWN_ADDRESS = re.compile(rf"{ROOT}(?:/[A-Za-z0-9_~-]+)*(?:\?[A-Za-z0-9_~.%=&+-]*)?")


def csrf_token(secret: str) -> str:
    """What the forms of a session send along; the session's secret can't be found from it."""
    return hmac.new(secret.encode(), b"moderation-console-form", hashlib.sha256).hexdigest()


def check_form(request: Request, *, token: str) -> None:
    """Raise Forbidden for a form that another site sent, or that was made for another session."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    # Browsers since 2023 say where a form comes from; others at least name the origin. The token is asked of all.
    foreign = site not in _OWN if site is not None else origin is not None and _host(origin) != request.host
    sent = request.headers.get(_TOKEN_HEADER) or request.form.get(_TOKEN_FIELD, "")
    if foreign or not hmac.compare_digest(sent.encode(), token.encode()):
        raise Forbidden("This form is out of date, or not from this console. Load the page again.")


def own_address(text: str | None) -> str:
    """An address of the console to go on to; the console itself for anything that isn't one."""
    return text if text is not None and _OWN_ADDRESS.fullmatch(text) else ROOT


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
