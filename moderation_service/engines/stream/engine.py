"""The engine in front of Qwen3Guard-Stream on vLLM: whole conversations, and answers while they are being written."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from ...config.settings import Secret
from ...core.conversation import Conversation, Message
from ...core.engine import Deadline
from ...core.verdict import Category, Detail, Scores, Severity, Target, Verdict
from ...errors import DeadlineExceeded, EngineUnavailable, ModerationError, TooLarge
from ...upstream.client import Client, FailureKind, PromptTooLong, UpstreamFailure
from ...upstream.fanout import FanOut
from ...upstream.per_process import PerProcess
from ...upstream.replicas import Replica, ReplicaSet, UpstreamEvents
from .answer import Answer
from .labels import Labels, Rows, TokenVerdict
from .server import Checkpoint, StreamServer
from .stopping import StopRule, counted, nearest_miss
from .tokenizer import Tokenizer
from .transcript import Window, prompt_windows

__all__ = ["StreamEngine", "StreamOptions"]

# A verdict that recent shows that the server answers.
_READY_WITHIN_S = 10.0
_DEFAULT_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Where the server is and how it is used; the settings `stream_...` by the same names."""

    upstream: str
    api_key: Secret | None = None
    model: str | None = None
    stop_rule: StopRule = StopRule.REPORT
    concurrency: int = 64
    max_windows: int = 64
    connect_timeout_s: float = 2.0
    timeout_s: float = 5.0


class StreamEngine:
    """Judges over HTTP. Connections, threads and locks are made in the process that uses them, on its first call.

    `judge` gives a prompt the verdict at its end, and a response the worst of its tokens that the stop rule counts;
    it says nothing about refusals. `follow` judges an answer while it is being written.
    """

    name = "stream"

    def __init__(
        self,
        options: StreamOptions,
        *,
        tokenizer: Tokenizer,
        labels: Labels,
        context_tokens: int,
        events: UpstreamEvents | None = None,
    ) -> None:
        self.stop_rule = options.stop_rule
        self._options = options
        self._tokenizer = tokenizer
        self._labels = labels
        checkpoint = Checkpoint(labels.width, context_tokens, tokenizer.size)
        self._process = PerProcess(lambda: _Process(options, checkpoint, events))

    @property
    def model(self) -> str:
        """The name the server gives its model; the configured one, or `unknown`, before it was asked."""
        process = self._process.known
        facts = None if process is None else process.server.known_facts
        return self._options.model or "unknown" if facts is None else facts.model

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        """One verdict or error per conversation, in order; several are judged at the same time."""
        process = self._process.here()
        until = deadline or Deadline.after(_DEFAULT_DEADLINE_S)

        def judge_one(conversation: Conversation) -> Verdict | ModerationError:
            try:
                if conversation.target is Target.PROMPT:
                    return self._judge_prompt(process, conversation, until)
                return self._judge_response(process, conversation, until)
            except ModerationError as error:
                return error

        try:
            with process.fanout.slot():
                return process.fanout.run(judge_one, conversations)
        except ModerationError as error:
            return [error] * len(conversations)

    def follow(self, turns: Sequence[Message], *, begun: str = "", salt: str | None = None, judged: int = 0) -> Answer:
        """An answer to these turns that is being written; see `Answer`."""

        def ask(windows: Callable[[int], Sequence[Window]], salt: str, deadline: Deadline) -> list[Rows]:
            process = self._process.here()
            with process.fanout.slot():
                return process.ask(windows, salt, deadline)

        return Answer(
            turns,
            ask=ask,
            tokenizer=self._tokenizer,
            labels=self._labels,
            begun=begun,
            salt=salt,
            judged=judged,
        )

    @property
    def is_out_of_order(self) -> bool:
        """Whether the server is known to be away, so that asking it would only fail."""
        return all(replica.is_ejected for replica in self._process.here().replicas.replicas)

    def check_ready(self) -> None:
        """Return if the server answered within the last ten seconds, or passes its test now. Raises EngineError."""
        self._process.here().replicas.check_ready(within_s=_READY_WITHIN_S)

    def close(self) -> None:
        """Close connections and threads of this process; a later call would open them again."""
        process = self._process.take()
        if process is not None:
            process.close()

    def _judge_prompt(self, process: _Process, conversation: Conversation, deadline: Deadline) -> Verdict:
        def windows(context_tokens: int) -> Sequence[Window]:
            return prompt_windows(
                conversation.messages,
                self._tokenizer,
                context_tokens=context_tokens,
                max_windows=self._options.max_windows,
            )

        rows = process.ask(windows, secrets.token_hex(16), deadline)
        found = [self._labels.read(one, Target.PROMPT)[-1] for one in rows]
        worst = max(found, key=lambda one: (one.severity.rank, one.scores.unsafe + one.scores.controversial))
        flagged = [(one, one.severity) for one in found if one.severity is not Severity.SAFE]
        return self._verdict(Target.PROMPT, worst.severity, flagged, worst.scores, len(rows))

    def _judge_response(self, process: _Process, conversation: Conversation, deadline: Deadline) -> Verdict:
        windows_used = 1

        def ask(windows: Callable[[int], Sequence[Window]], salt: str, deadline: Deadline) -> list[Rows]:
            nonlocal windows_used
            rows = process.ask(windows, salt, deadline)
            windows_used = len(rows)
            return rows

        answer = Answer(conversation.messages[:-1], ask=ask, tokenizer=self._tokenizer, labels=self._labels)
        judged = answer.add(conversation.messages[-1].content, is_last=True, deadline=deadline)
        tokens = [one.verdict for one in judged]
        flagged = [pair for pair in counted(tokens, self.stop_rule) if pair[1] is not Severity.SAFE]
        if not flagged:
            return self._verdict(Target.RESPONSE, Severity.SAFE, (), nearest_miss(tokens), windows_used)
        worst, severity = max(flagged, key=lambda pair: (pair[1].rank, pair[0].scores.unsafe))
        return self._verdict(Target.RESPONSE, severity, flagged, worst.scores, windows_used)

    def _verdict(
        self,
        target: Target,
        severity: Severity,
        flagged: Sequence[tuple[TokenVerdict, Severity]],
        scores: Scores | None,
        windows: int,
    ) -> Verdict:
        """A verdict with the categories of what was found at its own severity."""
        categories = {token.category for token, found in flagged if found is severity}
        return Verdict(
            target=target,
            severity=severity,
            categories=tuple(category for category in Category if category in categories),
            refusal=None,
            scores=scores,
            engine=self.name,
            model=self.model,
            windows=windows,
        )


class _Process:
    """Everything of the engine that must not be shared between processes."""

    def __init__(self, options: StreamOptions, checkpoint: Checkpoint, events: UpstreamEvents | None) -> None:
        self._options = options
        self.fanout = FanOut(slots=options.concurrency, per_request=8)
        client = Client(
            options.upstream,
            api_key=options.api_key,
            pool_size=options.concurrency,
            connect_timeout_s=options.connect_timeout_s,
        )
        self.server = StreamServer(client, model=options.model, checkpoint=checkpoint)
        label = urlsplit(options.upstream).netloc.rpartition("@")[2]
        self.replicas = ReplicaSet([Replica(label, self.server)], timeout_s=options.timeout_s, events=events)

    def ask(self, windows: Callable[[int], Sequence[Window]], salt: str, deadline: Deadline) -> list[Rows]:
        """The rows of the windows, one array each; `windows` makes them for the context of the server.

        Raises ModerationError.
        """
        failure: UpstreamFailure | None = None
        for _ in range(2):
            replica = self.replicas.choose()
            if replica is None:
                break
            try:
                return self._on(replica, windows, salt, deadline)
            except UpstreamFailure as error:
                failure = error
                # A connection that broke may have been closed by a server that is well; nothing else is tried twice.
                if error.kind is not FailureKind.CLOSED:
                    break
        if failure is not None:
            raise failure.error
        raise self.replicas.unavailable()

    def close(self) -> None:
        self.replicas.close()
        self.fanout.close()

    def _on(
        self,
        replica: Replica[StreamServer],
        windows: Callable[[int], Sequence[Window]],
        salt: str,
        deadline: Deadline,
    ) -> list[Rows]:
        def timeout_s() -> float:
            left = min(self._options.timeout_s, deadline.remaining_s())
            if left <= 0:
                raise DeadlineExceeded("The time for this request was over before the model could answer.")
            return left

        started = monotonic()
        with self.replicas.in_use(replica):
            try:
                facts = replica.server.facts(timeout_s=timeout_s())
                found = [
                    replica.server.rows(window.ids, need=window.judged, salt=salt, facts=facts, timeout_s=timeout_s)
                    for window in self._bounded(windows(facts.context_tokens))
                ]
            except PromptTooLong:
                replica.server.forget()
                error = EngineUnavailable("The model server's context is smaller than it said.")
                raise UpstreamFailure(FailureKind.REFUSED, error) from None
            except UpstreamFailure as failure:
                self.replicas.failed(replica, failure.kind, monotonic() - started)
                raise
        self.replicas.succeeded(replica, monotonic() - started)
        return found

    def _bounded(self, windows: Sequence[Window]) -> Sequence[Window]:
        if len(windows) > self._options.max_windows:
            raise TooLarge(
                f"The text is too long for the model: {len(windows)} windows, "
                f"and the limit is {self._options.max_windows} windows."
            )
        return windows
