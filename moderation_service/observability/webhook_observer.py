"""Which decisions become webhook events, and what is said of them: ids and verdicts, never text of a user."""

from __future__ import annotations

import threading
from time import monotonic

from ..core.moderator import Check
from ..core.verdict import Action, Decision
from ..errors import ModerationError
from .request_context import request_context
from .webhooks import Webhooks

__all__ = ["WebhookObserver"]

# While an engine is away every decision is degraded; one message a minute says it.
_DEGRADED_EVERY_S = 60.0
_EVENT_OF = {Action.BLOCK: "blocked", Action.FLAG: "flagged"}


class WebhookObserver:
    """An `Observer` of the moderator that sends events."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks
        self._lock = threading.Lock()
        self._degraded = 0
        self._degraded_again_at = 0.0

    def decided(self, check: Check, decision: Decision, fingerprint: bytes) -> None:
        """Send what this decision is an event of."""
        event = _EVENT_OF.get(decision.action)
        if event is not None and event in self._webhooks.wanted:
            data = _data(check, decision)
            self._webhooks.send(event, _line(event, data), data)
        if decision.degraded and "degraded" in self._webhooks.wanted:
            self._tell_degraded(check, decision)

    def failed(self, check: Check, error: ModerationError) -> None:
        """An error is its caller's; the metrics and their alerts tell the operator."""

    def engine_called(self, engine: str, seconds: float, failures: int, verdicts: int) -> None:
        """Calls are counted by the metrics."""

    def _tell_degraded(self, check: Check, decision: Decision) -> None:
        with self._lock:
            self._degraded += 1
            now = monotonic()
            if now < self._degraded_again_at:
                return
            self._degraded_again_at = now + _DEGRADED_EVERY_S
            count, self._degraded = self._degraded, 0
        data = {**_data(check, decision), "count": count}
        self._webhooks.send("degraded", f"Degraded: {decision.reason}; {count} decisions since the last message", data)


def _data(check: Check, decision: Decision) -> dict[str, object]:
    context = request_context.get()
    verdict = decision.verdict
    return {
        "id": decision.id,
        "request_id": context.request_id,
        "app": context.app,
        "key": context.key_name,
        "target": decision.target.value,
        "safety": None if verdict is None else verdict.severity.value,
        "categories": [] if verdict is None else [category.value for category in verdict.categories],
        "action": decision.action.value,
        "policy": decision.policy,
        "policy_version": check.policy.version,
        "engine": decision.engine,
        "model": decision.model,
        "degraded": decision.degraded,
        "reason": decision.reason,
    }


def _line(event: str, data: dict[str, object]) -> str:
    names = ", ".join(map(str, data["categories"])) if isinstance(data["categories"], list) else ""
    what = f"{data['safety'] or 'not judged'}" + (f" ({names})" if names else "")
    caller = next((f", {name} {data[name]}" for name in ("app", "key") if data[name]), "")
    return f"{event.capitalize()}: {data['target']}, {what}, policy {data['policy']}{caller}, {data['id']}"
