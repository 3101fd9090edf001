"""One guarded chat: the model is asked, its prompt and answer are judged, and what was cleared goes to the client.

One thread waits for three things at once: for the model's server, for the check under way, and for a client that hangs
up. There is one check under way at most; text that comes meanwhile joins the next one. Nothing goes to the client
before the prompt has passed. Whatever ends the chat, closing the session breaks the call to the model off.
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Protocol, cast

from ..core.moderator import Check, Outcome
from ..core.policy import Streaming
from ..core.verdict import Decision
from ..errors import ChatModelError, ClientGone, ModerationError, Overloaded, PromptBlocked, TooLarge
from ..streaming.growing_answer import Pacing, Piece, Ruling
from ..streaming.piece_judge import AnswerJudge
from ..streaming.token_judge import TokenJudges
from ..upstream.sse import COMMENT
from ..wires.guarded_replies import render_moderation
from ..wires.openai_errors import render_error
from .background import Background
from .contract import Contract, Moderation
from .options import ChatOptions
from .refusal import ChatModelRefused, how_ended, tellable
from .reply import ModelReply
from .turns import Turns
from .upstream import ChatUpstream

__all__ = ["Begun", "GuardedSession"]

_WHOLE = Pacing(largest_bytes=2**62)
_HUNG_UP = getattr(select, "POLLRDHUP", 0)
_WRITE_BYTES = 16 * 1024
_OVERLOAD_PAUSE_S = 0.25
_PATIENCE_S = 1.0
"""A model that writes slowly is judged in smaller pieces, when so much time has passed since the last check."""


@dataclass(frozen=True, slots=True)
class Begun:
    """How the reply begins: with the whole `document`, or with None, and then the session's `chunks` are the body.

    `decisions` are those made so far.
    """

    document: Mapping[str, object] | None
    decisions: Sequence[Decision] = ()


class _Watched(Protocol):
    """A client's connection, as the server holds it."""

    def fileno(self) -> int:
        """What to poll."""


class GuardedSession:
    """One request and its reply, of any contract. `client` is the socket to watch, where the server tells it.

    With `by_token` the answer is judged by it, token by token; `judge` then judges the prompt.

    All chats of a worker share `turns`, so many at once, at judging their answers. What comes while a chat waits for
    its turn is judged with it: the more there is to do, the larger are the pieces, and the less is to do.

    Call `begin` first; if a stream follows, then `chunks` or `close`.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        judge: AnswerJudge,
        by_token: TokenJudges | None = None,
        upstream: ChatUpstream,
        options: ChatOptions,
        headers: Mapping[str, str],
        turns: Turns,
        client: _Watched | None = None,
    ) -> None:
        self.ended = "client_gone"
        """How the chat ended: `answered`, `blocked_prompt`, `blocked_answer` or the type of an error."""
        self.checks = 0
        """How many texts the guard was asked about."""
        self._contract, self._judge, self._upstream, self._options = contract, judge, upstream, options
        self._asked = asked = contract.asked
        self._rule = judge.of if by_token is None else by_token.of
        self._headers, self._client = headers, client
        self._turns = turns
        self._has_turn = False
        self._started = self._heard_at = self._judged_at = monotonic()
        self._background = Background()
        self._prompt: list[Decision] | None = None if asked.to_judge else []
        self._answer = contract.answer(
            options.pacing if asked.stream else _WHOLE,
            shows_first=asked.policy.streaming is Streaming.SHOW_THEN_CUT,
        )
        contract.tell(self._told)
        self._reply = ModelReply(
            self._answer,
            is_stream=asked.stream,
            max_bytes=options.max_answer_bytes,
            has_key=options.api_key is not None,
        )

    def begin(self) -> Begun:
        """Wait until it is known how the reply begins.

        Raises ModerationError or ChatModelRefused; the session is closed then.

        Of a stream that is as soon as the prompt has passed and the model's server has answered, or when the first
        sign of life is due: until then an error is a status of its own.
        """
        try:
            begun = self._begin()
        except BaseException as error:
            self.ended = how_ended(error)
            self.close()
            raise (tellable(error, self._judge.allows) if isinstance(error, ChatModelRefused) else error) from None
        if begun.document is not None:
            self.close()
        return begun

    def chunks(self) -> Iterator[bytes]:
        """The body of a streamed reply. An error is an event, after which nothing comes, not even the usual end."""
        try:
            yield from self._stream()
        except ClientGone:
            return
        except ChatModelRefused as refused:
            self.ended = how_ended(refused)
            yield self._contract.broken(tellable(refused, self._judge.allows).document)
        except ModerationError as error:
            self.ended = how_ended(error)
            yield self._contract.broken(render_error(error))
        finally:
            self.close()

    def close(self) -> None:
        """Break off what is under way. May be called more than once."""
        self._reply.stop()
        self._background.close()
        if self._has_turn:
            self._has_turn = False
            self._turns.give_back()

    @property
    def decisions(self) -> list[Decision]:
        """Every decision made."""
        return [*(self._prompt or ()), *self._answer.decisions]

    # How it begins.

    def _begin(self) -> Begun:
        is_stream = self._asked.stream
        while self._options.prompt_first and self._prompt is None:
            self._step()
        if self._refusal is None:
            self._start_check()
            self._open()
        streams_at = self._started + self._options.keep_alive_s
        while True:
            if self._refusal is not None:
                return self._refuse(self._refusal)
            if self._prompt is not None:
                if self._reply.failure is not None:
                    raise self._reply.failure
                if is_stream and self._reply.is_answered:
                    return Begun(None, self.decisions)
                if not is_stream and self._reply.is_done and self._answer.is_judged:
                    return Begun(self._whole(), self.decisions)
            if is_stream and monotonic() >= streams_at:
                return Begun(None)
            self._step(streams_at if is_stream else None)

    def _open(self) -> None:
        if not self._upstream.knows(self._contract.path):
            self._translate()
            return
        try:
            self._reply.call = self._upstream.ask(self._contract.path, self._asked.forward, headers=self._headers)
        except ChatModelError as error:
            self._reply.fail(error)
        self._heard_at = monotonic()

    def _translate(self) -> None:
        """The server does not know the client's contract: ask it in one that it knows, if that says the same."""
        translation = self._contract.translation()
        self._reply.is_unknown = False
        if translation is None:
            return
        try:
            call = self._upstream.ask(translation.path, translation.body, headers=self._headers)
            self._reply.ask_again(call, translation)
        except ChatModelError as error:
            self._reply.fail(error)
        self._heard_at = monotonic()

    @property
    def _refusal(self) -> Decision | None:
        """The decision by which the prompt is blocked."""
        return next((one for one in self._prompt or () if not one.allowed), None)

    def _refuse(self, decision: Decision) -> Begun:
        self._reply.stop()
        if self._asked.stream and not self._options.blocked_prompt_is_error:
            return Begun(None, self.decisions)
        self._refuse_with_error(decision)
        self.ended = "blocked_prompt"
        return Begun(self._contract.refused(decision, self._told), self.decisions)

    def _refuse_with_error(self, decision: Decision) -> None:
        if self._options.blocked_prompt_is_error:
            raise PromptBlocked(decision.message or "The prompt was blocked.", param=self._contract.param)

    def _whole(self) -> Mapping[str, object]:
        assert self._reply.document is not None
        self.ended = "blocked_answer" if self._answer.is_blocked else "answered"
        return self._contract.whole(self._reply.document, self._told)

    @property
    def _told(self) -> Moderation | None:
        """What makes the `moderation` object, where it was asked for."""
        return self._moderation if self._asked.wants_moderation else None

    def _moderation(self) -> Mapping[str, object]:
        model = self._judge.moderator.engine.model
        return render_moderation(self._prompt or (), self._answer.strictest, policy=self._asked.policy, model=model)

    # How it goes on.

    def _stream(self) -> Iterator[bytes]:
        shown_at = monotonic()
        while not self._is_over:
            alive_at = shown_at + self._options.keep_alive_s
            self._step(alive_at)
            released = self._released()
            if not released and monotonic() >= alive_at:
                released = COMMENT
            if released:
                yield from self._written(released)
                shown_at = monotonic()
            if self._reply.failure is not None and self._prompt is not None and self._refusal is None:
                raise self._reply.failure
        yield from self._written(self._released() + self._last())

    def _released(self) -> bytes:
        """What may go to the client now."""
        if self._prompt is None or self._refusal is not None:
            return b""
        return self._contract.write(self._answer.release())

    @property
    def _is_over(self) -> bool:
        if self._prompt is None:
            return False
        is_judged = self._reply.is_done and self._answer.is_judged
        return self._refusal is not None or self._answer.is_all_cut or is_judged

    def _last(self) -> bytes:
        """The end of a stream that ends as it should, or for which the policy has the last word."""
        self._reply.stop()
        refusal = self._refusal
        if refusal is not None:
            self._refuse_with_error(refusal)
            self.ended = "blocked_prompt"
        else:
            self.ended = "blocked_answer" if self._answer.is_blocked else "answered"
        return self._contract.last(refusal, self._told)

    def _written(self, data: bytes) -> Iterator[bytes]:
        """The data in portions, each when the client takes it: one that does not read must not hold a thread.

        Nor one that reads a little now and then: when the time for the chat is over, it waits for nobody.
        """
        for start in range(0, len(data), _WRITE_BYTES):
            if self._client is not None:
                poller = select.poll()
                poller.register(self._client, select.POLLOUT)
                left_s = self._started + self._options.timeout_s - monotonic()
                if not poller.poll(max(0.0, min(self._options.idle_timeout_s, left_s)) * 1000):
                    raise ClientGone("The client does not read.")
            yield data[start : start + _WRITE_BYTES]

    # What is waited for.

    def _step(self, until: float | None = None) -> None:
        """Wait until something happens, `until` at most, and deal with it. Raises ClientGone and the guard's errors."""
        self._start_check()
        call, is_checking, ends_at = self._reply.call, self._background.is_busy, self._ends_at()
        poller = select.poll()
        if is_checking:
            poller.register(self._background, select.POLLIN)
        if call is not None:
            poller.register(call, select.POLLIN)
        if self._client is not None:
            poller.register(self._client, _HUNG_UP)
        hurried_at = self._judged_at + _PATIENCE_S
        wait_s = min(ends_at, until or ends_at, ends_at if self._is_late else hurried_at) - monotonic()
        # With neither there is nothing to wait for: something has just ended.
        has_work = is_checking or call is not None
        ready = {number for number, _ in poller.poll(max(0.0, wait_s * 1000) if has_work else 0)}
        if self._client is not None and self._client.fileno() in ready:
            raise ClientGone("The client hung up.")
        if is_checking and self._background.fileno() in ready:
            self._take_check()
        if call is not None and call.fileno() in ready:
            self._heard_at = monotonic()
            self._reply.receive()
            if self._reply.is_unknown:
                self._translate()
            elif self._reply.translation is not None and self._reply.is_answered:
                self._upstream.lacks(self._contract.path)
        elif monotonic() >= ends_at:
            self._reply.time_out()

    def _ends_at(self) -> float:
        """When the model must have been heard of again, or all must be over."""
        limit = self._started + self._options.timeout_s
        if self._reply.call is None:
            return limit
        has_begun = self._asked.stream and self._answer.head is not None
        pause_s = self._options.idle_timeout_s if has_begun else self._options.first_token_timeout_s
        return min(limit, self._heard_at + pause_s)

    # The checks.

    def _start_check(self) -> None:
        if self._background.is_busy or self._reply.failure is not None:
            return
        if self._prompt is None:
            judge, asked = self._judge, self._asked
            checks = [Check(one, asked.policy, judge.detail, asked.languages, judge.metadata) for one in asked.to_judge]
            self.checks += len(checks)
            self._background.start(lambda: judge.moderator.decide(checks))
            return
        if self._is_late:
            self._answer.hurry()
        if self._has_turn or self._answer.wants_check:
            self._check_answer()

    def _check_answer(self) -> None:
        """Have the next pieces judged, or wait for a turn first: they are not cut before, so that they can grow."""
        if not self._has_turn and not self._turns.try_take():
            self._background.start(self._turns.take, undo=self._turns.give_back)
            return
        self._has_turn = True
        pieces = self._answer.take_pieces()
        self.checks += len(pieces)

        def judge() -> list[Ruling | ModerationError]:
            try:
                return self._rulings(pieces)
            finally:
                self._turns.give_back()

        self._background.start(judge)
        # Not before: if no thread can be had, closing the session gives the turn back.
        self._has_turn = False

    @property
    def _is_late(self) -> bool:
        return monotonic() >= self._judged_at + _PATIENCE_S

    def _rulings(self, pieces: Sequence[Piece]) -> list[Ruling | ModerationError]:
        """The rulings, asked for again while the engine is overloaded: an answer can wait, a new chat is refused."""
        ends_at = monotonic() + self._options.check_timeout_s
        while True:
            rulings = self._rule(pieces)
            is_refused = any(isinstance(ruling, Overloaded) for ruling in rulings)
            if not is_refused or monotonic() + _OVERLOAD_PAUSE_S > ends_at:
                return [_not_the_callers(ruling) if isinstance(ruling, TooLarge) else ruling for ruling in rulings]
            sleep(_OVERLOAD_PAUSE_S)

    def _take_check(self) -> None:
        found = self._background.take()
        if found is None:  # it is this chat's turn
            self._has_turn = True
            return
        self._judged_at = monotonic()
        if self._prompt is not None:
            self._answer.settle(cast("list[Ruling | ModerationError]", found))
            return
        outcomes = cast("list[Outcome]", found)
        for outcome in outcomes:
            if isinstance(outcome, ModerationError):
                raise outcome
        self._prompt = [outcome for outcome in outcomes if isinstance(outcome, Decision)]


def _not_the_callers(error: TooLarge) -> ModerationError:
    """Of a request, too much text would be the caller's fault; of an answer it is not."""
    failure = ChatModelError("The chat model's answer is too long to be judged.")
    failure.__cause__ = error
    return failure
