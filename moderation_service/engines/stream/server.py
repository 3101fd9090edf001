"""The vLLM server with Qwen3Guard-Stream: what was learned about it, and the one call that is made of it.

A server is trusted after a test with made-up token ids: a call, and the same call with a few ids more. The second must
cost less than the first, or the prefix cache is not read and every call will cost the whole text; that is said loudly,
and the service goes on at the higher cost. Before the service is ready, and before a server comes back into use, it is
also given a prompt that is plainly harmful, which must not come out safe.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

import numpy as np

from ...core.verdict import Severity
from ...errors import EngineAnswerInvalid, EngineUnavailable
from ...observability.logs import log_event
from ...upstream.client import Client, FailureKind, PromptTooLong, ServedModel, UpstreamFailure
from ...upstream.discovery import Discovery, seconds_left
from . import pooling
from .labels import Rows

__all__ = ["Checkpoint", "Facts", "Proof", "StreamServer"]

_log = logging.getLogger("moderation.stream")

# Two full blocks of the largest usual size (128 tokens, on a CPU) and something more.
_TEST_TOKENS = 320
_TEST_MORE = 8
_MAX_LEARNED = 4


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the model's own files say: how wide its rows are, its context, and how many ordinary tokens there are."""

    width: int
    context_tokens: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server told. `max_rows` is None where it gives a row for every token it computes."""

    model: str
    context_tokens: int
    max_rows: int | None
    reads_cache: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """A plainly harmful prompt as token ids, for a context of so many, and how its last row is read.

    `severity` raises EngineAnswerInvalid.
    """

    ids: Callable[[int], Sequence[int]]
    severity: Callable[[Rows], Severity]


class _TooFew(Exception):
    """A text that was in no cache gave only so many rows."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class StreamServer(Discovery[Facts]):
    """Asks one server. Safe to use from many threads."""

    def __init__(
        self, client: Client, *, model: str | None, checkpoint: Checkpoint, proof: Proof | None = None
    ) -> None:
        super().__init__()
        self._proof = proof
        self._client = client
        self._wanted_model = model
        self._checkpoint = checkpoint

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def rows(self, ids: Sequence[int], *, need: int, salt: str, facts: Facts, timeout_s: Callable[[], float]) -> Rows:
        """The rows of the last `need` ids. Raises UpstreamFailure or PromptTooLong.

        `salt` separates prefix caches: one for each conversation, kept over its calls. `timeout_s` is asked before
        each call for the time that it has.
        """
        for _ in range(_MAX_LEARNED):
            try:
                return self._in_steps(ids, need, salt, facts, timeout_s)
            except _TooFew as few:
                # The test was too short to find this bound (`guard_max_rows`).
                facts = self._facts = replace(facts, max_rows=few.count)
        raise _garbled("The model server gives fewer and fewer rows.")

    def _in_steps(self, ids: Sequence[int], need: int, salt: str, facts: Facts, timeout_s: Callable[[], float]) -> Rows:
        """As many calls as it takes when a reply has a bound on its rows."""
        step = min(need, facts.max_rows or need)
        first = len(ids) - need
        parts = [
            self._last_rows(ids[:end], min(step, end - at), salt, facts, timeout_s)
            for at in range(first, len(ids), step)
            for end in (min(at + step, len(ids)),)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _last_rows(
        self, ids: Sequence[int], need: int, salt: str, facts: Facts, timeout_s: Callable[[], float]
    ) -> Rows:
        rows = self._call(ids, salt, facts.model, timeout_s())
        if len(rows) < need:
            # Just this text is in the cache already: a call is repeated that was given up before its answer came.
            rows = self._call(ids, secrets.token_hex(16), facts.model, timeout_s())
        if len(rows) < need:
            raise _TooFew(len(rows))
        return rows[len(rows) - need :]

    def _call(self, ids: Sequence[int], salt: str, model: str, timeout_s: float) -> Rows:
        metadata, content = self._client.pool(pooling.ask(ids, model=model, salt=salt), timeout_s=timeout_s)
        try:
            rows = pooling.read(metadata, content, width=self._checkpoint.width)
        except pooling.NotRows as error:
            raise _garbled(f"The model server's answer is no row of logits per token: {error}.") from None
        if len(rows) > len(ids):
            raise _garbled("The model server gave more rows than tokens.")
        return rows

    def learn_again(self, *, timeout_s: float) -> None:
        """Test the server anew, and that a plainly harmful prompt is not called safe. Raises UpstreamFailure."""
        ends_at = monotonic() + timeout_s
        with self._learning:
            facts = self._learn(ends_at)
            if self._proof is not None:
                self._prove(self._proof, facts, ends_at)
            self._facts = facts

    def _prove(self, proof: Proof, facts: Facts, ends_at: float) -> None:
        ids = proof.ids(facts.context_tokens)
        try:
            rows = self._call(ids, secrets.token_hex(16), facts.model, seconds_left(ends_at))
            severity = proof.severity(rows[-1:])
        except PromptTooLong:
            message = "The model server's context is smaller than it says."
            raise UpstreamFailure(FailureKind.REFUSED, EngineUnavailable(message)) from None
        except EngineAnswerInvalid as error:
            raise UpstreamFailure(FailureKind.GARBLED, error) from None
        if severity is Severity.SAFE:
            message = "The model server calls a plainly harmful prompt safe; it is not used."
            raise UpstreamFailure(FailureKind.MISJUDGES, EngineUnavailable(message))

    def _learn(self, ends_at: float) -> Facts:
        served = self._choose_model(self._client.models(timeout_s=seconds_left(ends_at)))
        context = min(served.context_tokens or self._checkpoint.context_tokens, self._checkpoint.context_tokens)
        size = min(_TEST_TOKENS, context - _TEST_MORE)
        ids = [random.randrange(self._checkpoint.vocabulary) for _ in range(size + _TEST_MORE)]  # noqa: S311
        salt = secrets.token_hex(16)
        try:
            cold = len(self._call(ids[:size], salt, served.name, seconds_left(ends_at)))
            warm = len(self._call(ids, salt, served.name, seconds_left(ends_at)))
        except PromptTooLong:
            message = "The model server's context is smaller than it says."
            raise UpstreamFailure(FailureKind.REFUSED, EngineUnavailable(message)) from None
        if warm < min(_TEST_MORE, cold):
            raise _garbled("The model server's answer has not one row for every new token.")
        max_rows = cold if cold < size else None
        reads_cache = warm < min(size + _TEST_MORE, max_rows or size + _TEST_MORE)
        if not reads_cache:
            log_event(_log, logging.ERROR, "stream_prefix_cache_not_read", model=served.name, tokens=size, rows=warm)
        log_event(
            _log, logging.INFO, "stream_server_tested", model=served.name, context=context, max_rows=max_rows,
            rows_for_8_tokens=warm, reads_cache=reads_cache,
        )  # fmt: skip
        return Facts(served.name, context, max_rows, reads_cache)

    def _choose_model(self, served: Sequence[ServedModel]) -> ServedModel:
        """The model that the settings name, or the only one."""
        named = [one for one in served if self._wanted_model in (None, one.name)]
        if len(named) != 1:
            message = (
                "The model server does not serve the model of `stream_model`."
                if self._wanted_model is not None
                else "The model server serves several models; `stream_model` must name one."
            )
            raise UpstreamFailure(FailureKind.REFUSED, EngineUnavailable(message))
        return named[0]


def _garbled(message: str) -> UpstreamFailure:
    return UpstreamFailure(FailureKind.GARBLED, EngineAnswerInvalid(message))
