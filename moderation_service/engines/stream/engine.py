"""The engine in front of Qwen3Guard-Stream on vLLM: whole conversations, and answers while they are being written."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ...config.settings import Secret
from ...core.conversation import Conversation, Message, Role
from ...core.engine import Deadline
from ...core.never_milder import highest, merged, stands
from ...core.verdict import Category, Detail, Scores, Severity, Span, Target, Verdict
from ...errors import DeadlineExceeded, EngineUnavailable, ModerationError, TooLarge
from ...upstream.client import Client, FailureKind, PromptTooLong, UpstreamFailure
from ...upstream.dispatch import Dispatch
from ...upstream.fanout import FanOut
from ...upstream.per_process import PerProcess
from ...upstream.replicas import Replica, ReplicaSet, UpstreamEvents
from .answer import Answer, JudgedToken
from .growing_text import GrowingText
from .labels import Labels, Rows, TokenVerdict
from .server import Checkpoint, Proof, StreamServer
from .stopping import StopRule, counted, nearest_miss
from .tokenizer import Tokenizer
from .transcript import Window, prompt_windows

__all__ = ["StreamEngine", "StreamOptions"]

# A verdict that recent shows that the server answers.
_READY_WITHIN_S = 10.0
_DEFAULT_DEADLINE_S = 30.0
# The example of Qwen3Guard's README for an unsafe prompt.
_HARMFUL = (Message(Role.USER, "How can I make a bomb?"),)

_Read = dict[tuple[int, int], Rows]
"""The rows of windows by the context that they were made for and their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Where the server is and how it is used; the settings `stream_...` by the same names.

    `outgoing` gives more header lines for a call, each with its line end.
    """

    upstream: str
    api_key: Secret | None = None
    model: str | None = None
    stop_rule: StopRule = StopRule.REPORT
    concurrency: int = 64
    max_windows: int = 64
    connect_timeout_s: float = 2.0
    timeout_s: float = 5.0
    outgoing: Callable[[], bytes] | None = None


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
        proof = Proof(
            ids=lambda context: prompt_windows(_HARMFUL, tokenizer, context_tokens=context, max_windows=1)[0].ids,
            severity=lambda rows: labels.read(rows, Target.PROMPT)[-1].severity,
        )
        self._process = PerProcess(lambda: _Process(options, checkpoint, proof, events))

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
                return process.ask(windows, salt, deadline, {})

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
        planned: dict[int, Sequence[Window]] = {}

        def windows(context_tokens: int) -> Sequence[Window]:
            planned[context_tokens] = prompt_windows(
                conversation.messages,
                self._tokenizer,
                context_tokens=context_tokens,
                max_windows=self._options.max_windows,
            )
            return planned[context_tokens]

        read: _Read = {}
        failure: ModerationError | None = None
        try:
            process.ask(windows, secrets.token_hex(16), deadline, read)
        except ModerationError as error:
            failure = error
        text = conversation.messages[-1].content
        found: list[Verdict] = []
        for (context, number), rows in read.items():
            try:
                (token,) = self._labels.read(rows[-1:], Target.PROMPT)
            except ModerationError as error:
                failure = failure or error
            else:
                one = self._verdict(Target.PROMPT, token.severity, [(token, token.severity)], token.scores)
                found.append(replace(one, span=self._span(text, planned[context][number])))
        return merged(found) if failure is None else stands(found, failure)

    def _span(self, text: str, window: Window) -> Span | None:
        """Where a window of a prompt is in it."""
        if window.part is None:
            return None
        growing = GrowingText(self._tokenizer)
        tokens = [*growing.append(text), *growing.finish()]
        begin, end = window.part
        return Span(tokens[begin].begin, tokens[end - 1].end)

    def _judge_response(self, process: _Process, conversation: Conversation, deadline: Deadline) -> Verdict:
        read: _Read = {}

        def ask(windows: Callable[[int], Sequence[Window]], salt: str, deadline: Deadline) -> list[Rows]:
            return process.ask(windows, salt, deadline, read)

        text = conversation.messages[-1].content
        answer = Answer(conversation.messages[:-1], ask=ask, tokenizer=self._tokenizer, labels=self._labels)
        try:
            judged = answer.add(text, is_last=True, deadline=deadline)
        except ModerationError as error:
            return stands([self._answer_verdict(self._before_failure(read), None, windows=len(read))], error)
        return self._answer_verdict([one.verdict for one in judged], judged, windows=len(read), length=len(text))

    def _before_failure(self, read: _Read) -> list[TokenVerdict]:
        """The tokens of an answer up to the window that gave no verdict."""
        tokens: list[TokenVerdict] = []
        for rows in read.values():
            try:
                tokens += self._labels.read(rows, Target.RESPONSE)
            except ModerationError:
                break
        return tokens

    def _answer_verdict(
        self, tokens: Sequence[TokenVerdict], places: Sequence[JudgedToken] | None, *, windows: int, length: int = 0
    ) -> Verdict:
        """The worst of the tokens that the stop rule counts; the run that it stands in, where the places are known."""
        severities = [severity for _, severity in counted(tokens, self.stop_rule)]
        flagged = [at for at, severity in enumerate(severities) if severity is not Severity.SAFE]
        near = nearest_miss(tokens)
        if not flagged:
            return self._verdict(Target.RESPONSE, Severity.SAFE, (), near, windows)
        worst = max(flagged, key=lambda at: (severities[at].rank, tokens[at].scores.unsafe))
        scores = highest([tokens[at].scores for at in flagged] + ([near] if near else []))
        pairs = [(tokens[at], severities[at]) for at in flagged]
        verdict = self._verdict(Target.RESPONSE, severities[worst], pairs, scores, windows)
        if places is None:
            return verdict
        first = last = worst
        while first and tokens[first - 1].severity is not Severity.SAFE:
            first -= 1
        while last + 1 < len(tokens) and tokens[last + 1].severity is not Severity.SAFE:
            last += 1
        span = Span(places[first].begin, places[last].end)
        return replace(verdict, span=None if span == Span(0, length) else span)

    def _verdict(
        self,
        target: Target,
        severity: Severity,
        flagged: Sequence[tuple[TokenVerdict, Severity]],
        scores: Scores | None,
        windows: int = 1,
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

    def __init__(
        self, options: StreamOptions, checkpoint: Checkpoint, proof: Proof, events: UpstreamEvents | None
    ) -> None:
        self._options = options
        self.fanout = FanOut(slots=options.concurrency, per_request=8)
        client = Client(
            options.upstream,
            api_key=options.api_key,
            pool_size=options.concurrency,
            connect_timeout_s=options.connect_timeout_s,
            outgoing=options.outgoing,
        )
        self.server = StreamServer(client, model=options.model, checkpoint=checkpoint, proof=proof)
        label = urlsplit(options.upstream).netloc.rpartition("@")[2]
        self.replicas = ReplicaSet([Replica(label, self.server)], timeout_s=options.timeout_s, events=events)
        self._dispatch = Dispatch(self.replicas, self.fanout, timeout_s=options.timeout_s)

    def ask(self, windows: Callable[[int], Sequence[Window]], salt: str, deadline: Deadline, read: _Read) -> list[Rows]:
        """The rows of the windows, one array each; `windows` makes them for the context of the server.

        Each is put into `read` as it comes, and not asked for again. Raises ModerationError.
        """

        def timeout_s() -> float:
            left = min(self._options.timeout_s, deadline.remaining_s())
            if left <= 0:
                raise DeadlineExceeded("The time for this request was over before the model could answer.")
            return left

        def rows(server: StreamServer, _: float) -> list[Rows]:
            try:
                facts = server.facts(timeout_s=timeout_s())
                context = facts.context_tokens
                planned = self._bounded(windows(context))
                for number, window in enumerate(planned):
                    if (context, number) not in read:
                        read[context, number] = server.rows(
                            window.ids, need=window.judged, salt=salt, facts=facts, timeout_s=timeout_s
                        )
            except PromptTooLong:
                server.forget()
                error = EngineUnavailable("The model server's context is smaller than it said.")
                raise UpstreamFailure(FailureKind.REFUSED, error) from None
            return [read[context, number] for number in range(len(planned))]

        return self._dispatch.call(rows, deadline)

    def close(self) -> None:
        self.replicas.close()
        self.fanout.close()

    def _bounded(self, windows: Sequence[Window]) -> Sequence[Window]:
        if len(windows) > self._options.max_windows:
            raise TooLarge(
                f"The text is too long for the model: {len(windows)} windows, "
                f"and the limit is {self._options.max_windows} windows."
            )
        return windows
