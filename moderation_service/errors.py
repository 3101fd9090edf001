"""Every error the service raises on purpose, one HTTP status each.

    ModerationError
    ├── InvalidRequest          400  invalid_request      the body is not what the contract says; names the field
    │   └── HasChanged          400  invalid_request      somebody else has changed what this one was to change
    ├── PromptBlocked           400  content_filter       a prompt for the guarded chat that its policy blocks
    ├── Unauthorized            401  unauthorized         no key, or not one of ours
    ├── Forbidden               403  forbidden            what this caller may not choose, such as a milder policy
    ├── HostNotAllowed          403  host_not_allowed     an open service, asked under a name that is not its machine's
    ├── NotFound                404  not_found
    ├── MethodNotAllowed        405  method_not_allowed
    ├── TooLarge                413  too_large            over a documented limit; nothing is ever cut
    ├── UnsupportedMediaType    415  unsupported_media_type
    ├── Overloaded              429  overloaded           carries Retry-After
    ├── RateLimited             429  rate_limited         over a limit of the caller's app; carries Retry-After
    ├── InternalError           500  internal_error       a bug of ours, never a verdict
    ├── ClientGone              499  client_gone          nobody is there to read this; only the log is told
    ├── AuditUnavailable        503  audit_unavailable    a decision could not be recorded, and is not given without
    ├── StoreUnavailable        503  store_unavailable    the database of records can't be used; verdicts don't need it
    ├── ChatModelError          502  chat_model_error     the guarded chat model failed, broke off or answered nonsense
    │   ├── ChatModelUnavailable 503 chat_model_unavailable  it can't be reached
    │   └── ChatModelTimeout    504  chat_model_timeout   it was too slow
    └── EngineError             503  engine_error         no verdict could be had; a policy's `on_failure` decides
        ├── EngineAnswerInvalid 502  engine_answer_invalid
        ├── EngineUnavailable   503  engine_unavailable
        └── DeadlineExceeded    504  deadline_exceeded

    ConfigurationError          stops the start: a bad setting or policy file, with its place and the reason
    DataError                   stops a command: a data set that can't be read or written as it was asked for

Raise where the fact is known; `moderation_service.web.reply` turns them into bytes. Messages are written for the
caller: they name the field and never repeat the text that was sent.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "AuditUnavailable",
    "ChatModelError",
    "ChatModelTimeout",
    "ChatModelUnavailable",
    "ClientGone",
    "ConfigurationError",
    "DataError",
    "DeadlineExceeded",
    "EngineAnswerInvalid",
    "EngineError",
    "EngineUnavailable",
    "Forbidden",
    "HasChanged",
    "HostNotAllowed",
    "InternalError",
    "InvalidRequest",
    "MethodNotAllowed",
    "ModerationError",
    "NotFound",
    "Overloaded",
    "PromptBlocked",
    "RateLimited",
    "StoreUnavailable",
    "TooLarge",
    "Unauthorized",
    "UnsupportedMediaType",
]


class ModerationError(Exception):
    """Base of all errors that a caller can see.

    `message` is a sentence for the caller, `param` the JSON path of the field at fault (such as `inputs[2].prompt`),
    `retry_after_s` the number of seconds after which the same request may be tried again.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s

    def to_json(self) -> dict[str, object]:
        """The error object of the native contract, without its `error` envelope."""
        return {"type": self.type, "message": self.message, "param": self.param}


class InvalidRequest(ModerationError):
    """The body is not JSON, or not the shape the contract asks for."""

    status = 400
    type = "invalid_request"


class HasChanged(InvalidRequest):
    """Somebody else has changed what was to be changed since it was read."""


class PromptBlocked(ModerationError):
    """The policy blocks this prompt, and is set to say so with an error; the message is the policy's."""

    status = 400
    type = "content_filter"


class Unauthorized(ModerationError):
    """No API key was sent, or an unknown one."""

    status = 401
    type = "unauthorized"


class Forbidden(ModerationError):
    """The caller may not choose what it asks for; the message says why."""

    status = 403
    type = "forbidden"


class HostNotAllowed(ModerationError):
    """A service without keys on a loopback address was asked under a name that is not this machine's own."""

    status = 403
    type = "host_not_allowed"


class NotFound(ModerationError):
    """There is nothing at this address."""

    status = 404
    type = "not_found"


class MethodNotAllowed(ModerationError):
    """The address exists, but not for this HTTP method."""

    status = 405
    type = "method_not_allowed"


class TooLarge(ModerationError):
    """The body, or a list in it, is over a limit; the message says which limit."""

    status = 413
    type = "too_large"


class UnsupportedMediaType(ModerationError):
    """The body is declared as something other than JSON."""

    status = 415
    type = "unsupported_media_type"


class Overloaded(ModerationError):
    """More work than the configured limit; refused at once instead of queued."""

    status = 429
    type = "overloaded"


class RateLimited(ModerationError):
    """The app that asks is over one of its limits. Not `Overloaded`: the service has room, and no other would help."""

    status = 429
    type = "rate_limited"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.headers = dict(headers or {})
        """How it stands with the limit."""


class InternalError(ModerationError):
    """A fault of this service. The log has the cause under the request id."""


class ClientGone(ModerationError):
    """The client hung up before it was answered; its work is dropped. The status is nginx's, for the log."""

    status = 499
    type = "client_gone"


class AuditUnavailable(ModerationError):
    """The decision was made and could not be recorded, which `audit_required` asks for. No fail mode replaces it."""

    status = 503
    type = "audit_unavailable"


class StoreUnavailable(ModerationError):
    """The database of records can't be reached or used now: what needs it has to wait, verdicts do not."""

    status = 503
    type = "store_unavailable"


class ChatModelError(ModerationError):
    """The guarded chat model failed, broke off, or answered something that is no answer. Never shown as an end."""

    status = 502
    type = "chat_model_error"


class ChatModelUnavailable(ChatModelError):
    """No connection to the guarded chat model could be made."""

    status = 503
    type = "chat_model_unavailable"


class ChatModelTimeout(ChatModelError):
    """The guarded chat model did not answer in time, or paused for too long."""

    status = 504
    type = "chat_model_timeout"


class FailureReason(enum.Enum):
    """Why an engine gave no verdict: what the log and the audit record say of a degraded decision."""

    INVALID = "invalid"
    """It answered something that is no verdict."""
    TIMEOUT = "timeout"
    """It did not answer in time."""
    REFUSED = "refused"
    """It refused the request: a wrong key, a wrong model, a request it does not understand."""
    UNREACHABLE = "unreachable"
    """No connection could be made."""
    BROKEN_OFF = "broken_off"
    """The connection broke in the middle."""
    OVERLOADED = "overloaded"
    """It has too much to do."""
    FAILED = "failed"
    """It had a fault of its own (a 5xx)."""
    EJECTED = "ejected"
    """It was not asked, because it is out of use since it failed before."""
    MISJUDGES = "misjudges"
    """It is out of use, because it calls a plainly harmful question safe."""
    UNAVAILABLE = "unavailable"
    """It can't answer, for another reason."""


class EngineError(ModerationError):
    """No verdict could be had. Never shown as `safe`: the policy's `on_failure` decides what happens."""

    status = 503
    type = "engine_error"
    usual_reason: ClassVar[FailureReason] = FailureReason.UNAVAILABLE

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, reason: FailureReason | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.reason = reason or self.usual_reason


class EngineAnswerInvalid(EngineError):
    """The engine answered something that is not a verdict."""

    status = 502
    type = "engine_answer_invalid"
    usual_reason = FailureReason.INVALID


class EngineUnavailable(EngineError):
    """The engine can't be reached, is not ready, or is overloaded itself."""

    status = 503
    type = "engine_unavailable"


class DeadlineExceeded(EngineError):
    """The engine did not answer within the request's deadline."""

    status = 504
    type = "deadline_exceeded"
    usual_reason = FailureReason.TIMEOUT


class ConfigurationError(Exception):
    """A setting or a policy file that the service refuses to start with."""


class DataError(Exception):
    """A data set that can't be read, or written, as asked for. The message names the place and quotes no text."""
