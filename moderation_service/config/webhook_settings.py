"""The settings of webhooks: where the service tells of what happened, and of what."""

from __future__ import annotations

from dataclasses import dataclass

from .setting import Secret, declare

__all__ = ["WEBHOOK_EVENTS", "WEBHOOK_KEPT_S", "WebhookSettings"]

WEBHOOK_EVENTS = ("blocked", "flagged", "appeal", "appeal_decided", "degraded")
WEBHOOK_KEPT_S = 24 * 3600
"""For so long a message is tried again, where a database keeps it."""
_SECTION = "Webhooks"


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """What `Settings` has for webhooks."""

    webhook_url: Secret | None = declare(
        None,
        _SECTION,
        "Address to which events are posted as JSON, such as an incoming webhook of Slack; see docs/webhooks.md. Such "
        "addresses often are a password themselves, so this one is shown nowhere.",
    )
    webhook_secret: Secret | None = declare(
        None,
        _SECTION,
        "Key with which each message is signed (HMAC-SHA256, in the headers of Standard Webhooks), 16 characters or "
        "longer; `whsec_` and base64, or any other text. Without it messages are not signed.",
    )
    webhook_events: tuple[str, ...] = declare(
        ("blocked", "appeal", "appeal_decided", "degraded"),
        _SECTION,
        "The events that are sent: `blocked` and `flagged` for each such decision, `appeal` when a blocked person asks "
        "for a review, `appeal_decided` when a reviewer has answered that, `degraded` at most once a minute while the "
        "fallback or a fail mode decides.",
    )
