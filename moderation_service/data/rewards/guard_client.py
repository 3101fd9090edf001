"""Asks a running service for verdicts, from the event loop of a trainer.

Trainers make loops as they like: one for ever (TRL), one per call (ms-swift), one per worker (verl). So a session lives
while calls of its loop are under way, and is closed by the last of them.

The service asks for 8 texts of a request at a time (`upstream_fanout`), so texts go in requests of 8: 64 texts take
0.07 s so with a guard that takes 50 ms, 0.43 s as one request, 0.15 s as 64.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from ...core.reward import Judged
from ...core.verdict import Scores, Severity
from ...errors import ConfigurationError

__all__ = ["GuardClient", "Unjudged"]

_Result = TypeVar("_Result")

_PER_REQUEST = 8
_BYTES_PER_REQUEST = 512 * 1024
"""Half of what the service takes, unless its `max_body_bytes` is set."""
_TRIES = 4
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
# What another try may change: statuses, and words of `Unjudged`.
_AGAIN_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_AGAIN = frozenset(
    {"degraded", "unreachable", "overloaded", "engine_error", "engine_unavailable", "engine_answer_invalid",
     "deadline_exceeded", *(f"http_{status}" for status in _AGAIN_STATUSES)}
)  # fmt: skip
# What no other text would change: a wrong address, a wrong key. Never a reward.
_MISTAKES = {
    401: "api_key: the service does not know this key, or asks for one",
    403: "url: the service refuses this caller",
    404: "url: there is no moderation service at this address",
    405: "url: there is no moderation service at this address",
}
_SEVERITIES = {one.value: one for one in Severity}


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Why there is no verdict, in a word; never any text."""

    reason: str


class _Session:
    """The session of a loop, and the texts that it has under way: `in_flight` at most."""

    def __init__(self, *, headers: Mapping[str, str], in_flight: int) -> None:
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers=headers, timeout=aiohttp.ClientTimeout(total=None)
        )
        self.users = 0
        self._in_flight = in_flight
        self._under_way = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def room_for(self, texts: int) -> AsyncIterator[None]:
        """Wait until there is room for so many, or for any number while nothing else is under way."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._under_way or self._under_way + texts <= self._in_flight)
            self._under_way += texts
        try:
            yield
        finally:
            self._under_way -= texts
            async with self._changed:
                self._changed.notify_all()


class GuardClient:
    """A service at an address. Can be pickled while no call is under way."""

    def __init__(self, url: str, *, api_key: str | None, policy: str | None, timeout_s: float, in_flight: int) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError("url: must begin with http:// or https://.")
        if not timeout_s > 0 or in_flight < 1:
            raise ConfigurationError("timeout_s, in_flight: must be greater than 0.")
        self._url = url.rstrip("/").removesuffix("/moderate") + "/moderate"
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": api_key} if api_key else {})
        self._policy = policy
        self._timeout_s = timeout_s
        self._in_flight = in_flight
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}

    async def judge(self, items: Sequence[Mapping[str, object]]) -> list[Judged | Unjudged]:
        """A verdict on each item of `POST /moderate`, or the reason for none; equal ones are asked once.

        Raises ConfigurationError for what no other text would change, such as a wrong key.
        """
        written = [json.dumps(item, sort_keys=True) for item in items]
        different = list(dict.fromkeys(written))
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            session = self._sessions[loop] = _Session(headers=self._headers, in_flight=self._in_flight)
        session.users += 1
        try:
            found = await _all(
                [self._judge_group(session, group) for group in _grouped(different, most=self._in_flight)]
            )
        finally:
            session.users -= 1
            if not session.users:
                del self._sessions[loop]
                await session.http.close()
        verdicts = dict(zip(different, (one for group in found for one in group), strict=True))
        return [verdicts[one] for one in written]

    async def _judge_group(self, session: _Session, items: Sequence[str]) -> list[Judged | Unjudged]:
        """The verdicts of one request; what another try may change is asked again, until time is up."""
        found: list[Judged | Unjudged] = [Unjudged("timeout")] * len(items)
        async with session.room_for(len(items)):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await self._fill(session, items, found)
        return found

    async def _fill(self, session: _Session, items: Sequence[str], found: list[Judged | Unjudged]) -> None:
        waiting = list(range(len(items)))
        for attempt in range(_TRIES):
            answers, pause_s = await self._ask(session, [items[index] for index in waiting])
            for index, answer in zip(waiting, answers, strict=True):
                found[index] = answer
            waiting = [index for index in waiting if isinstance(one := found[index], Unjudged) and one.reason in _AGAIN]
            if not waiting or attempt == _TRIES - 1:
                return
            await asyncio.sleep(max(pause_s, min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)))

    async def _ask(self, session: _Session, items: Sequence[str]) -> tuple[Sequence[Judged | Unjudged], float]:
        """One request: an answer for each, and for how long the service wants to be left alone."""
        policy = f', "policy": {json.dumps(self._policy)}' if self._policy else ""
        body = f'{{"inputs": [{", ".join(items)}]{policy}}}'.encode()
        try:
            async with session.http.post(self._url, data=body, allow_redirects=False) as reply:
                if reply.status == 200:
                    return _read_results(await reply.json(), count=len(items)), 0.0
                await self._refuse_mistakes(reply)
                return [Unjudged(f"http_{reply.status}")] * len(items), _seconds(reply.headers.get("Retry-After"))
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError):
            return [Unjudged("unreachable")] * len(items), 0.0
        except (aiohttp.ClientError, ValueError):
            return [Unjudged("invalid_reply")] * len(items), 0.0

    async def _refuse_mistakes(self, reply: aiohttp.ClientResponse) -> None:
        if reply.status in _MISTAKES:
            raise ConfigurationError(f"{_MISTAKES[reply.status]} (HTTP {reply.status}).")
        # The whole request is refused for its policy only; what is wrong with an item is that item's result.
        if reply.status == 400 and self._policy and _error_of(await reply.json()).get("param") == "policy":
            raise ConfigurationError("policy: the service has none of this name.")


def _grouped(items: Iterable[str], *, most: int) -> list[list[str]]:
    groups: list[list[str]] = []
    size = 0
    for item in items:
        if not groups or len(groups[-1]) >= min(most, _PER_REQUEST) or size + len(item) > _BYTES_PER_REQUEST:
            groups.append([])
            size = 0
        groups[-1].append(item)
        size += len(item)
    return groups


async def _all(calls: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """What all of them return; the first that raises ends the others."""
    tasks = [asyncio.ensure_future(one) for one in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _read_results(document: object, *, count: int) -> list[Judged | Unjudged]:
    results = document.get("results") if isinstance(document, Mapping) else None
    if not isinstance(results, list) or len(results) != count:
        return [Unjudged("invalid_reply")] * count
    return [_read_result(one) for one in results]


def _read_result(result: object) -> Judged | Unjudged:
    """One result. A verdict of the fallback engine, or none that a fail mode stands in for, is no verdict here."""
    if not isinstance(result, Mapping):
        return Unjudged("invalid_reply")
    if "error" in result:
        kind = _error_of(result).get("type")
        return Unjudged(kind if isinstance(kind, str) and kind.isidentifier() else "error")
    if result.get("degraded") is not False:
        return Unjudged("degraded")
    severity = _SEVERITIES.get(str(result.get("safety")))
    if severity is None:
        return Unjudged("invalid_reply")
    refusal = result.get("refusal")
    return Judged(severity, refusal if isinstance(refusal, bool) else None, _read_scores(result.get("scores")))


def _read_scores(scores: object) -> Scores | None:
    if not isinstance(scores, Mapping):
        return None
    values = [scores.get(one.value) for one in Severity]
    if not all(isinstance(one, int | float) and 0 <= one <= 1 for one in values):
        return None
    return Scores(*map(float, values))  # type: ignore[arg-type]


def _error_of(document: object) -> Mapping[str, object]:
    error = document.get("error") if isinstance(document, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isdecimal() else 0.0
