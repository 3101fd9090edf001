"""The function that the page on webhooks shows tells our messages from others."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from moderation_service.observability.webhooks import signature, signing_key

DOCS = Path(__file__).parents[2] / "docs"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize("name", ["webhooks.md", "webhooks.zh-CN.md"])
def test_the_function_shown_checks_a_signature(name: str) -> None:
    code = re.search(r"^```python\n(.*?)^```$", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert code is not None
    shown: dict[str, Any] = {}
    exec(code[1], shown)
    body, now = b'{"type": "moderation.blocked"}', int(time.time())

    def headers(sent_s: int, signed: bytes) -> dict[str, str]:
        value = signature(signing_key(SECRET), message_id="msg_1", timestamp_s=sent_s, body=signed)
        return {"webhook-id": "msg_1", "webhook-timestamp": str(sent_s), "webhook-signature": value}

    assert shown["is_ours"](headers(now, body), body, SECRET)
    assert not shown["is_ours"](headers(now, b"{}"), body, SECRET)
    assert not shown["is_ours"](headers(now - 900, body), body, SECRET)
    assert not shown["is_ours"](headers(now, body) | {"webhook-id": "msg_2"}, body, SECRET)
