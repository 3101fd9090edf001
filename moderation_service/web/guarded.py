"""`POST /v1/chat/completions` with a guarded chat model behind it, and that model in `GET /v1/models`."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..chat import (
    ChatModelRefused,
    ChatOptions,
    ChatUpstream,
    Completions,
    GuardedSession,
    Messages,
    Responses,
    TextCompletions,
    Turns,
    tellable,
)
from ..chat.contract import Contract
from ..chat.item_memory import ItemMemory
from ..core.conversation import Limits
from ..core.json_text import read_json, write_json
from ..core.policy import Policy
from ..core.question import Question
from ..core.verdict import Decision
from ..errors import ChatModelError, NotFound, Overloaded
from ..ids import random_hex
from ..observability.logs import log_event
from ..observability.propagation import caller_trace
from ..streaming.piece_judge import AnswerJudge
from ..streaming.token_judge import TokenJudges, token_pacing
from ..wires import guarded_chat, guarded_completions, messages_requests, responses_requests
from ..wires.guarded_replies import strictest
from ..wires.openai_models import Headers
from ..wires.responses_shown import BlockedEnd
from ..wires.sealed import Sealer
from .lifecycle import RequestState
from .moderate import oddities
from .reply import Reply, StreamedReply, json_reply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["GuardedDoor"]

_log = logging.getLogger("moderation.chat")
# nginx would collect a stream before it passes it on, unless told not to.
_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_RETRY_AFTER_S = 1.0
_JSON = "application/json"
_USUAL_VERSION = "2023-06-01"
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BETAS = re.compile(r"[a-z0-9-]{1,64}(?:, ?[a-z0-9-]{1,64}){0,15}")
# The size of the body bounds a chat: a coding agent sends hundreds of messages, of which only the last are judged.
_LIMITS = Limits(messages=sys.maxsize)


class GuardedDoor:
    """The guarded chats of one worker."""

    @classmethod
    def of(cls, service: Service) -> GuardedDoor | None:
        """The door; None where no chat model is configured."""
        options = ChatOptions.of(service.settings)
        return cls(service, options) if options is not None else None

    def __init__(self, service: Service, options: ChatOptions) -> None:
        self._service = service
        self._options = options
        # Half of the calls are left for what else is asked of this worker.
        settings = service.settings
        self._token_options = replace(
            options,
            pacing=token_pacing(settings.stream_chunk_tokens),
            checks_at_once=max(1, settings.stream_concurrency // 2),
        )
        self._upstream = ChatUpstream(options, tracing=service.tracing)
        self._places = threading.BoundedSemaphore(options.max_streams)
        self._turns = Turns((self._token_options if service.stream else options).checks_at_once)

    def answer(
        self, body: object, headers: Headers, environ: WSGIEnvironment, state: RequestState
    ) -> Reply | StreamedReply:
        """Answer a request for chat completions. Raises ModerationError."""
        asked = guarded_chat.parse(
            body,
            policies=self._service.policies,
            limits=_LIMITS,
            headers=headers,
            options=self._options.request,
        )
        return self._answer(Completions(asked, created=int(time.time())), environ, state)

    def complete(
        self, body: object, headers: Headers, environ: WSGIEnvironment, state: RequestState
    ) -> Reply | StreamedReply:
        """Answer a request for completions without roles. Raises ModerationError."""
        asked = guarded_completions.parse(
            body,
            policies=self._service.policies,
            limits=_LIMITS,
            headers=headers,
            options=self._options.request,
        )
        return self._answer(TextCompletions(asked, created=int(time.time())), environ, state)

    def respond(
        self, body: object, headers: Headers, environ: WSGIEnvironment, state: RequestState
    ) -> Reply | StreamedReply:
        """Answer a request for a response. Raises ModerationError."""
        caller = state.caller
        sealer = Sealer(self._service.seal_key, caller)
        request = responses_requests.parse(
            body,
            policies=self._service.policies,
            limits=_LIMITS,
            headers=headers,
            options=self._options.request,
            remembered=_Remembered(self._service.items, caller),
            sealer=sealer,
        )

        def remember(response: Mapping[str, object]) -> None:
            name, output = response.get("id"), response.get("output")
            if isinstance(name, str) and isinstance(output, list):
                self._service.items.put(caller, name, previous=request.previous, asked=request.asked, output=output)

        contract = Responses(
            request,
            created=int(time.time()),
            name=random_hex(24),
            sealer=sealer,
            end=BlockedEnd(self._service.settings.responses_blocked),
            remember=remember if self._service.items.is_on else None,
        )
        return self._answer(contract, environ, state)

    def message(
        self, body: object, headers: Headers, environ: WSGIEnvironment, state: RequestState
    ) -> Reply | StreamedReply:
        """Answer a request for a message. Raises ModerationError."""
        sealer = Sealer(self._service.seal_key, state.caller)
        asked = self._parsed_message(body, headers, sealer)
        version = _version(environ)
        contract = Messages(asked, name=random_hex(24), sealer=sealer, version=version, request_id=state.request_id)
        reply = self._answer(contract, environ, state)
        return replace(reply, headers={**reply.headers, "request-id": state.request_id})

    def count_tokens(
        self, body: object, headers: Headers, environ: WSGIEnvironment, state: RequestState
    ) -> Reply | StreamedReply:
        """Have the model's server count a message's tokens: only the number comes back. Raises ModerationError."""
        sealer = Sealer(self._service.seal_key, state.caller)
        asked = self._parsed_message(body, headers, sealer)
        contract = Messages(asked, name="", sealer=sealer, version=_version(environ), request_id=state.request_id)
        sent = {**self._headers(environ), **contract.headers(self._options.api_key)}
        try:
            _, _, found = self._upstream.pass_on(
                "POST", f"{contract.path}/count_tokens", write_json(asked.forward), headers=sent, content_type=_JSON
            )
        except ChatModelRefused as refused:
            if refused.http_status in (404, 405):
                raise NotFound("The chat model's server does not count tokens.") from None
            return _passed_on(self._judged(refused, asked.policy), contract.error)
        try:
            return json_reply({"input_tokens": int(read_json(found)["input_tokens"])})
        except (ValueError, TypeError, LookupError, RecursionError):
            raise ChatModelError("The chat model's server answered no number of tokens.") from None

    def _parsed_message(self, body: object, headers: Headers, sealer: Sealer) -> guarded_chat.GuardedChat:
        return messages_requests.parse(
            body,
            policies=self._service.policies,
            limits=_LIMITS,
            headers=headers,
            options=self._options.request,
            sealer=sealer,
        )

    def pass_on(
        self, method: str, path: str, environ: WSGIEnvironment, *, content: bytes = b"", content_type: str = ""
    ) -> Reply:
        """The server's own reply to a request of another kind. Raises ModerationError.

        It takes one of the places for chats, so that many of them leave threads for verdicts too.
        """
        with self._place():
            try:
                status, kind, body = self._upstream.pass_on(
                    method, path, content, headers=self._headers(environ), content_type=content_type
                )
            except ChatModelRefused as refused:
                judged = self._judged(refused, self._service.policies.get(None))
                return _passed_on(judged, lambda document, status: document)
        return Reply(status, body, content_type=kind)

    def _judged(self, refused: ChatModelRefused, policy: Policy) -> ChatModelRefused:
        """The refusal as the caller may read it."""
        return tellable(refused, AnswerJudge(self._service.moderator, Question.of(()), policy).allows)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise Overloaded("All places for guarded chats are taken.", retry_after_s=_RETRY_AFTER_S)
        try:
            yield
        finally:
            self._places.release()

    def _answer(self, contract: Contract, environ: WSGIEnvironment, state: RequestState) -> Reply | StreamedReply:
        if not self._places.acquire(blocking=False):
            raise Overloaded("All places for guarded chats are taken.", retry_after_s=_RETRY_AFTER_S)
        try:
            session = self._session(contract, environ, state)
        except BaseException:
            self._places.release()
            raise
        metrics = self._service.metrics
        metrics.chat_began()

        def ended() -> None:
            session.close()
            self._places.release()
            state.fields = _log_fields(session)
            metrics.chat_ended(session.ended)

        streams = False
        try:
            begun = session.begin()
            streams = begun.document is None
        except ChatModelRefused as refused:
            return _passed_on(refused, contract.error)
        finally:
            if not streams:
                ended()
        shown = _decision_headers(begun.decisions)
        if begun.document is not None:
            return json_reply(begun.document, headers=shown)
        return StreamedReply(session.chunks(), ended, headers={**_STREAM_HEADERS, **shown})

    def _session(self, contract: Contract, environ: WSGIEnvironment, state: RequestState) -> GuardedSession:
        asked = contract.asked
        judge = AnswerJudge(self._service.moderator, asked.question, asked.policy, asked.languages)
        by_token = self._by_token(judge)
        return GuardedSession(
            contract,
            judge=judge,
            by_token=by_token,
            upstream=self._upstream,
            options=self._options if by_token is None else self._token_options,
            headers={**self._headers(environ), **contract.headers(self._options.api_key)},
            turns=self._turns,
            client=environ.get("gunicorn.socket") or environ.get("werkzeug.socket"),
        )

    def _by_token(self, judge: AnswerJudge) -> TokenJudges | None:
        """The judge of an answer's tokens; None without its server, or while that is away."""
        stream = self._service.stream
        if stream is None or stream.is_out_of_order:
            return None
        return TokenJudges(judge, stream, deadline_s=self._service.settings.deadline_s)

    def models(self, environ: WSGIEnvironment) -> list[object]:
        """The models behind this door; none while their server can't be asked."""
        try:
            return self._upstream.models(headers=self._headers(environ))
        except ChatModelError as error:
            log_event(_log, logging.WARNING, "chat_models_unknown", error=error.type)
            return []

    def _headers(self, environ: WSGIEnvironment) -> Mapping[str, str]:
        """What a call to the model's server says of the request it is made for, and never a key of ours."""
        told = {"X-Request-Id": RequestState.of(environ).request_id, **caller_trace.get()}
        # One that was made here needs no look.
        sent = {name: value for name, value in told.items() if f"HTTP_{name.upper().replace('-', '_')}" in environ}
        hidden = {name for name, value in sent.items() if self._has_key(value, environ)}
        kept = {name: value for name, value in told.items() if name not in hidden}
        return {**kept, **self._authorization(environ)}

    def _authorization(self, environ: WSGIEnvironment) -> Mapping[str, str]:
        """The caller's own key for the model's server, where the operator lets it through; never one of ours."""
        sent = environ.get("HTTP_AUTHORIZATION", "")
        if not self._options.forward_authorization or not sent.isprintable() or not sent:
            return {}
        return {} if self._has_key(sent, environ) else {"Authorization": sent}

    def _has_key(self, value: str, environ: WSGIEnvironment) -> bool:
        """Whether a header has one of our keys in it; the one that the caller has shown is found in any place."""
        shown = environ.get("HTTP_X_API_KEY", "").strip()
        return self._service.keys.are_in(value) or (bool(self._service.keys) and shown != "" and shown in value)


class _Remembered:
    """What was let out to one caller."""

    def __init__(self, items: ItemMemory, caller: str | None) -> None:
        self._items, self._caller = items, caller

    def item(self, item_id: str) -> Mapping[str, object] | None:
        return self._items.item(self._caller, item_id)

    def turns(self, response_id: str) -> list[object] | None:
        return self._items.turns(self._caller, response_id)


def _version(environ: WSGIEnvironment) -> Mapping[str, str]:
    """The version of Anthropic's contract that the caller speaks, and what of its future it wants."""
    version, beta = environ.get("HTTP_ANTHROPIC_VERSION", ""), environ.get("HTTP_ANTHROPIC_BETA", "")
    sent = {"anthropic-version": version if _VERSION.fullmatch(version) else _USUAL_VERSION}
    return {**sent, "anthropic-beta": beta} if _BETAS.fullmatch(beta) else sent


def _passed_on(refused: ChatModelRefused, shape: Callable[[Mapping[str, object], int], object]) -> Reply:
    # An error within a reply of status 200 is no success for whoever reads the status only.
    status = refused.http_status if refused.http_status >= 400 else 502
    headers = {"Retry-After": refused.retry_after} if refused.retry_after else {}
    return json_reply(shape(refused.document, status), status=status, headers=headers)


def _decision_headers(decisions: Sequence[Decision]) -> Mapping[str, str]:
    worst = strictest(decisions)
    if worst is None:
        return {}
    degraded = any(one.degraded for one in decisions)
    return {"X-Moderation-Action": worst.action.value, "X-Moderation-Degraded": str(degraded).lower()}


def _log_fields(session: GuardedSession) -> Mapping[str, object]:
    worst = strictest(session.decisions)
    fields: dict[str, object] = {"chat": session.ended, "checks": session.checks}
    if worst is not None:
        fields |= {"id": worst.id, "action": worst.action.value, "policy": worst.policy, "engine": worst.engine}
        fields["degraded"] = any(one.degraded for one in session.decisions)
        fields |= oddities(session.decisions)
    return fields
