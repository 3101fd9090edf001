"""The engine in front of Qwen3Guard-Gen on vLLM, or on another server of the same API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TypeVar
from urllib.parse import urlsplit

from ...config.settings import Secret
from ...core.conversation import Conversation
from ...core.engine import Deadline
from ...core.never_milder import merged, stands
from ...core.normal_form import place_before_nfc
from ...core.qwen3guard import chat_messages
from ...core.verdict import Detail, Severity, Span, Target, Verdict
from ...errors import EngineAnswerInvalid, ModerationError
from ...observability.logs import log_event
from ...upstream.client import Client, PromptTooLong
from ...upstream.dialects import AUTO
from ...upstream.dispatch import Dispatch
from ...upstream.fanout import FanOut
from ...upstream.per_process import PerProcess
from ...upstream.replicas import Replica, ReplicaSet, UpstreamEvents
from ...upstream.resolution import LOOKUP_PAUSE_S, Resolver
from . import windows
from .server import MAX_ANSWER_TOKENS, Facts, GuardServer, Judged
from .windows import Window

__all__ = ["UpstreamOptions", "VllmEngine"]

_log = logging.getLogger("moderation.upstream")

# What is left of a budget that turned out to be too much, and how often that may happen.
_SHRINK = 0.7
_MAX_SHRINKS = 5
# A verdict that recent shows that the server answers.
_READY_WITHIN_S = 10.0
_DEFAULT_DEADLINE_S = 30.0

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamOptions:
    """Where the model servers are and how they are used; the settings `upstream_...` by the same names.

    `names` are URLs whose host stands for several servers, each at an address of its own; `lookup_pause_s` is the least
    and the most time between two lookups.
    `outgoing` gives more header lines for a verdict call, each with its line end. `most_per_replica` says how many
    calls one server may have under way from this process.
    """

    urls: tuple[str, ...]
    names: tuple[str, ...] = ()
    lookup_pause_s: tuple[float, float] = LOOKUP_PAUSE_S
    api_key: Secret | None = None
    model: str | None = None
    dialect: str = AUTO
    context_tokens: int | None = None
    concurrency: int = 64
    fanout: int = 8
    max_windows: int = 64
    connect_timeout_s: float = 2.0
    timeout_s: float = 15.0
    outgoing: Callable[[], bytes] | None = None
    most_per_replica: Callable[[], int] | None = None


class VllmEngine:
    """Judges over HTTP. Connections, threads and locks are made in the process that uses them, on its first call.

    Thus it can be made before the workers are forked, and making it needs no server to be there.
    """

    name = "vllm"

    def __init__(self, options: UpstreamOptions, *, events: UpstreamEvents | None = None) -> None:
        self._options = options
        self._process = PerProcess(lambda: _Process(options, events))

    @property
    def model(self) -> str:
        """The name the server gives its model; the configured one, or `unknown`, before it was asked."""
        process = self._process.known
        if process is not None:
            for replica in process.replicas.replicas:
                facts = replica.server.known_facts
                if facts is not None:
                    return facts.model
        return self._options.model or "unknown"

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        """One verdict or error per conversation, in order; several are judged at the same time."""
        process = self._process.here()
        deadline = deadline or Deadline.after(_DEFAULT_DEADLINE_S)

        def judge_one(conversation: Conversation) -> Verdict | ModerationError:
            try:
                return process.judge(conversation, detail, deadline)
            except ModerationError as error:
                return error

        try:
            with process.fanout.slot():
                if len(conversations) == 1:
                    return [judge_one(conversations[0])]
                return process.fanout.run(judge_one, conversations)
        except ModerationError as error:
            return [error] * len(conversations)

    def judge_aside(
        self, conversation: Conversation, *, detail: Detail, deadline: Deadline
    ) -> Verdict | ModerationError | None:
        """`judge` for what nobody waits for: it takes none of the slots, and isn't done (None) unless half are free.

        Of the calls that a server may have from here half must be free as well; of these it is one while it lasts.
        """
        process = self._process.here()
        with process.fanout.aside() as has_room:
            if not has_room or not process.replicas.has_room():
                return None
            try:
                return process.judge(conversation, detail, deadline)
            except ModerationError as error:
                return error

    def check_ready(self) -> None:
        """Return if a server in use answered within the last ten seconds, or answers test questions rightly now.

        Raises EngineError.
        """
        self._process.here().replicas.check_ready(within_s=_READY_WITHIN_S)

    def close(self) -> None:
        """Close connections and threads of this process; a later call would open them again."""
        process = self._process.take()
        if process is not None:
            process.close()


class _Process:
    """Everything of the engine that must not be shared between processes."""

    def __init__(self, options: UpstreamOptions, events: UpstreamEvents | None) -> None:
        self._options = options
        self.fanout = FanOut(slots=options.concurrency, per_request=options.fanout)
        replicas = [_replica(url, options) for url in options.urls]
        self.replicas = ReplicaSet(replicas, timeout_s=options.timeout_s, events=events, most=options.most_per_replica)
        self._resolver: Resolver[GuardServer] | None = None
        if options.names:
            self._resolver = Resolver(
                self.replicas,
                options.names,
                make=lambda url, address: _replica(url, options, address=address),
                pause_s=options.lookup_pause_s,
            )
            self._resolver.start(wait_s=options.connect_timeout_s)
        self._dispatch = Dispatch(self.replicas, self.fanout, timeout_s=options.timeout_s)

    def judge(self, conversation: Conversation, detail: Detail, deadline: Deadline) -> Verdict:
        """The verdict, in as many windows as it takes. Raises ModerationError."""
        messages = chat_messages(conversation)
        facts = self._facts(deadline)
        budget = facts.context_tokens - facts.overhead_tokens - MAX_ANSWER_TOKENS
        target = conversation.target
        if windows.fits_surely(messages, budget_tokens=budget):
            try:
                return self._ask(messages, target, detail, deadline)
            except PromptTooLong:
                log_event(_log, logging.INFO, "upstream_context_smaller_than_known", context=facts.context_tokens)
        return self._judge_windows(messages, target, detail, deadline, budget)

    def close(self) -> None:
        if self._resolver is not None:
            self._resolver.close()
        self.replicas.close()
        self.fanout.close()

    def _judge_windows(
        self,
        messages: Sequence[Mapping[str, str]],
        target: Target,
        detail: Detail,
        deadline: Deadline,
        budget: int,
    ) -> Verdict:
        """Judge in windows; if one is too long after all, again in smaller ones.

        What a window was read to be stands, whatever becomes of the others.
        """
        normal, joined = windows.normalised(messages)
        lengths = self._on_a_replica(
            lambda server, facts, timeout_s: server.token_lengths(joined, facts=facts, timeout_s=timeout_s),
            deadline,
            with_verdict=False,
        )
        turns = windows.measure(normal, lengths)
        read: list[Verdict] = []

        def ask(part: Window) -> Verdict:
            found = replace(self._ask(part.messages, target, detail, deadline), span=part.span)
            read.append(found)
            return found

        for _ in range(_MAX_SHRINKS):
            try:
                parts = windows.plan(turns, budget_tokens=budget, max_windows=self._options.max_windows)
                before = list(read)
                found = [*self.fanout.run(ask, parts), *before]
            except PromptTooLong:
                budget = int(min(budget, windows.measured_tokens(turns)) * _SHRINK)
            except ModerationError as error:
                return _placed(stands(read, error), messages[-1]["content"])
            else:
                verdict = replace(merged(found), windows=len(parts))
                return _placed(verdict, messages[-1]["content"])
        refused = EngineAnswerInvalid("The model server refuses even short windows as too long.")
        return _placed(stands(read, refused), messages[-1]["content"])

    def _facts(self, deadline: Deadline) -> Facts:
        """What is known of the servers; if nothing yet, one of them is asked."""
        known = [replica.server.known_facts for replica in self.replicas.replicas if not replica.is_ejected]
        found = [facts for facts in known if facts is not None]
        if found:
            return found[0] if len(found) == 1 else min(found, key=lambda facts: facts.context_tokens)
        return self._on_a_replica(lambda server, facts, timeout_s: facts, deadline)

    def _ask(
        self, messages: Sequence[Mapping[str, str]], target: Target, detail: Detail, deadline: Deadline
    ) -> Verdict:
        """The verdict on one window. Raises ModerationError or PromptTooLong."""

        def ask(server: GuardServer, facts: Facts, timeout_s: float) -> Verdict:
            judged = server.ask(messages, target=target, detail=detail, facts=facts, timeout_s=timeout_s)
            return _verdict(target, judged, facts.model)

        return self._on_a_replica(ask, deadline, strictest=_strictest)

    def _on_a_replica(
        self,
        call: Callable[[GuardServer, Facts, float], _Result],
        deadline: Deadline,
        *,
        with_verdict: bool = True,
        strictest: Callable[[list[_Result]], _Result] | None = None,
    ) -> _Result:
        """`Dispatch.call`, with what is known of the server that is asked. Raises ModerationError or PromptTooLong."""

        def ask(server: GuardServer, timeout_s: float) -> _Result:
            ends_at = monotonic() + timeout_s
            return call(server, server.facts(timeout_s=timeout_s), ends_at - monotonic())

        return self._dispatch.call(ask, deadline, with_verdict=with_verdict, strictest=strictest)


def _replica(url: str, options: UpstreamOptions, *, address: str | None = None) -> Replica[GuardServer]:
    parts = urlsplit(url)
    label = _label(url) if address is None else _label_at(address, parts.port)
    return Replica(label, _guard_server(url, options, address))


def _guard_server(url: str, options: UpstreamOptions, address: str | None) -> GuardServer:
    client = Client(
        url,
        api_key=options.api_key,
        # As many as can be in use at once: a burst then costs no new connections the next time.
        pool_size=options.concurrency,
        connect_timeout_s=options.connect_timeout_s,
        outgoing=options.outgoing,
        address=address,
    )
    return GuardServer(client, model=options.model, dialect=options.dialect, context_tokens=options.context_tokens)


def _label(url: str) -> str:
    """Host and port: what logs and metrics call a server."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2]


def _label_at(address: str, port: int | None) -> str:
    host = f"[{address}]" if ":" in address else address
    return host if port is None else f"{host}:{port}"


def _verdict(target: Target, judged: Judged, model: str) -> Verdict:
    answer = judged.answer
    return Verdict(
        target,
        answer.severity,
        answer.categories,
        answer.refusal,
        judged.scores,
        VllmEngine.name,
        model,
        read_in_part=answer.parts,
    )


def _strictest(found: Sequence[Verdict]) -> Verdict:
    """Of the answers of two servers to one question: what one has called unsafe is not called safe for the other."""
    return replace(merged(found), windows=1)


def _placed(verdict: Verdict, text: str) -> Verdict:
    """With its span in characters of the text as it was sent to us; no span for a safe text.

    `text` is the judged turn before it was normalised. `neutralise` keeps its length, so the places are the caller's.
    """
    span = verdict.span
    if span is None or verdict.severity is Severity.SAFE:
        return replace(verdict, span=None)
    return replace(verdict, span=Span(place_before_nfc(text, span.start), place_before_nfc(text, span.end)))
