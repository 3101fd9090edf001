"""The audit record: one JSON line per decision, without text."""

from __future__ import annotations

import json
import logging
import os
import weakref
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from ..core.moderator import Check
from ..core.verdict import Decision
from ..errors import ConfigurationError, ModerationError
from .logs import log_event

__all__ = ["AuditFile", "request_context"]

_log = logging.getLogger("moderation.audit")

request_context: ContextVar[tuple[str | None, str | None]] = ContextVar("request_context", default=(None, None))
"""Request id and name of the API key of the request being handled."""


class AuditFile:
    """Appends to a file; an `Observer` of the moderator. `close()` closes it.

    Every line is one `write` on a descriptor opened for appending, so that lines of several workers do not mix.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"audit_file: {path} can't be written: {error.strerror}.") from error
        # A reload opens the file anew and only drops this object.
        self.close = weakref.finalize(self, os.close, self._descriptor)

    def decided(self, check: Check, decision: Decision, fingerprint: bytes) -> None:
        """Write the decision down."""
        verdict = decision.verdict
        self._write(
            check,
            id=decision.id,
            target=decision.target.value,
            safety=None if verdict is None else verdict.severity.value,
            categories=[] if verdict is None else [category.value for category in verdict.categories],
            refusal=None if verdict is None else verdict.refusal,
            action=decision.action.value,
            engine=decision.engine,
            model=decision.model,
            degraded=decision.degraded,
            reason=decision.reason,
            read_in_part=[] if verdict is None else sorted(part.value for part in verdict.read_in_part),
            span=None if verdict is None or verdict.span is None else [verdict.span.start, verdict.span.end],
            cached=decision.cached,
            text_hash=fingerprint.hex(),
        )

    def failed(self, check: Check, error: ModerationError) -> None:
        """Write down that there was no decision."""
        self._write(check, target=check.conversation.target.value, error=error.type)

    def engine_called(self, engine: str, seconds: float, failures: int, verdicts: int) -> None:
        """Nothing to record."""

    def _write(self, check: Check, **fields: object) -> None:
        request_id, key_name = request_context.get()
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id,
            "key": key_name,
            **fields,
            "policy": check.policy.name,
            "policy_version": check.policy.version,
            "metadata": dict(check.metadata),
        }
        try:
            os.write(self._descriptor, (json.dumps(record) + "\n").encode())
        except OSError as error:
            # A full disk must not take moderation down; what is missing is in the log, under the request's id.
            log_event(_log, logging.ERROR, "audit_failed", request_id=request_id, reason=error.strerror)
