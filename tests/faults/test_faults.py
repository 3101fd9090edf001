"""Ten thousand requests through a real service whose guard, or whose chat model, goes wrong in every way we know.

Whatever happens: no text that the guard called unsafe passes, no request is lost or left hanging, every status is a
documented one, and the service is well again soon after the fault is over. What goes wrong, and for which requests,
depends on their numbers alone.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from processes import SERVE_LITE, Running, running, send

from .chat_faults import CHAT_FAULTS, ChatFault, answer, is_list, secret
from .guard_faults import FAULTS, UNSAFE_WORD, GuardFault, healthy, item_of, judged_text, truth
from .scripted_server import Request, ScriptedServer, Step

pytestmark = pytest.mark.faults

CLIENTS = 32
VERDICTS_PER_FAULT = 84
CHATS_PER_FAULT = 10
ON_FAILURE = ("lite", "block", "flag", "allow", "error")
DETAILS = ("full", "severity")
FAIL_CLOSED = ("block", "error")
ENGINE_ERRORS = {502, 503, 504}
CHAT_ERRORS = {*ENGINE_ERRORS, 429}
HANGS_AFTER_S = 20
"""Well above every bound that the service is given here."""
RECOVERS_WITHIN_S = 5.0
WELL_IN_A_ROW = 12
"""Good answers in a row from which the service counts as well: both workers have given some."""
SETTINGS = {
    "--engine": "vllm",
    "--workers": "2",
    "--threads": "40",
    "--cache-size": "0",
    # The mildest: callers of guarded chats may choose any that is as strict.
    "--default-policy": "allow",
    "--deadline-s": "4",
    "--upstream-timeout-s": "1.5",
    "--chat-first-token-timeout-s": "1",
    "--chat-idle-timeout-s": "1",
    "--chat-timeout-s": "8",
}


@dataclass
class Models:
    """The guard and the chat model, each with what is wrong with it at the moment."""

    fault: GuardFault | None = None
    chat_fault: ChatFault | None = None
    told_unsafe: set[int] = field(default_factory=set)
    """Items for which the guard's answer had an unsafe label that can be read."""
    met: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.guard = ScriptedServer(self._guard)
        self.chat = ScriptedServer(self._chat)

    def _guard(self, request: Request) -> Iterable[Step]:
        item, fault, well = item_of(request), self.fault, healthy(request)
        # Every second item is spared, so that a server which is left out comes back and meets the fault again.
        if item is None or fault is None or item % 4 > 1:
            return [well]
        self.met["guard"] += 1
        is_unchanged = fault.chats_only and request.path != "/v1/chat/completions"
        if truth(judged_text(request) or "") and (fault.tells or is_unchanged):
            self.told_unsafe.add(item)
        return [well] if is_unchanged else fault.script(well, well.partition(b"\r\n\r\n")[2])

    def _chat(self, request: Request) -> Iterable[Step]:
        if is_list(request):
            return [b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"]
        if self.chat_fault is not None:
            self.met["chat"] += 1
        return answer(request) if self.chat_fault is None else self.chat_fault.script(request)


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> None:
    """The models have a thread for each connection that the service keeps; they end with the last test."""


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    made = Models()
    made.guard.start()
    made.chat.start()
    yield made
    made.guard.stop()
    made.chat.stop()


@pytest.fixture(scope="module")
def service(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("faults")
    policies = folder / "policies.yaml"
    lines = [f"  {one}: {{extends: balanced, on_failure: {one}}}" for one in ON_FAILURE]
    policies.write_text("\n".join(["policies:", *lines, ""]))
    flags = [word for pair in SETTINGS.items() for word in pair]
    addresses = ("--upstream", models.guard.url, "--chat-upstream", models.chat.url)
    with running(*flags, *addresses, "--policies-file", str(policies), command=SERVE_LITE) as started:
        yield started
        assert started.stop() == 0


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Each item has a number that no other has."""
    return itertools.count(1000)


def text_of(number: int) -> str:
    """A question about an item; every other pair of them is unsafe, of those that meet a fault and those that don't."""
    return f"Item {number}: please describe the {UNSAFE_WORD if number % 8 > 3 else 'garden'} in one sentence."


def asked_of_all(service: Running, asks: Sequence[Callable[[http.client.HTTPConnection], list[str]]]) -> list[str]:
    """Ask by so many clients at the same time; each keeps its connection. What they complain of, in any order."""
    waiting = iter(asks)
    guard = threading.Lock()

    def client(_: int) -> list[str]:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=HANGS_AFTER_S)
        found: list[str] = []
        while True:
            with guard:
                ask = next(waiting, None)
            if ask is None:
                connection.close()
                return found
            try:
                found += ask(connection)
            except TimeoutError:
                found.append("hangs")
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                found.append(f"lost: {error!r}")
                connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [one for found in pool.map(client, range(CLIENTS)) for one in found]


def verdict(
    connection: http.client.HTTPConnection, number: int, *, on_failure: str, detail: str
) -> tuple[int, dict[str, Any]]:
    body = {"prompt": text_of(number), "policy": on_failure, "detail": detail}
    reply = send(connection, "POST", "/moderate", body)
    return reply.status, reply.json


def verdict_check(
    number: int, models: Models, on_failure: str, detail: str
) -> Callable[[http.client.HTTPConnection], list[str]]:
    """Asks about an item; what is wrong with the answer."""

    def check(connection: http.client.HTTPConnection) -> list[str]:
        status, found = verdict(connection, number, on_failure=on_failure, detail=detail)
        is_unsafe, was_told = truth(text_of(number)), number in models.told_unsafe
        wrong = what_is_wrong(
            status,
            found,
            is_unsafe=is_unsafe,
            was_told=was_told,
            may_block=models.fault is not None and models.fault.contradicts,
            on_failure=on_failure,
        )
        shown = {key: found.get(key) for key in ("safety", "action", "engine", "degraded", "error") if key in found}
        return [f"{wrong}: item {number}, {on_failure}, {detail}: {status} {shown}"] if wrong else []

    return check


def what_is_wrong(
    status: int, found: dict[str, Any], *, is_unsafe: bool, was_told: bool, may_block: bool, on_failure: str
) -> str | None:
    if status != 200:
        # With `lite` too, were the embedded engine unable to answer; here it always can.
        return None if status in ENGINE_ERRORS and on_failure == "error" else "a status that is not documented"
    if was_told and found["allowed"]:
        return "unsafe, was called so, and passes"
    if not found["degraded"]:
        if is_unsafe and found["safety"] == "safe":
            return "unsafe and called safe"
        if not is_unsafe and not may_block and not found["allowed"]:
            return "harmless and blocked"
        return None
    as_said = {
        "lite": found["engine"] == "lite",
        "block": found["safety"] is None and found["action"] == "block",
        "flag": found["safety"] is None and found["action"] == "flag",
        "allow": found["safety"] is None and found["action"] == "allow",
        "error": False,
    }
    return None if was_told or as_said[on_failure] else "not what the policy says of a failure"


def wait_until_well(service: Running, numbers: Iterator[int]) -> float:
    """Seconds until every answer is the guard's own again; no longer than is allowed."""
    began = monotonic()
    in_a_row = 0
    while in_a_row < WELL_IN_A_ROW:
        # A connection each: any worker may take it.
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=HANGS_AFTER_S)
        number = next(numbers)
        status, found = verdict(connection, number, on_failure="error", detail=DETAILS[number % 2])
        connection.close()
        is_right = status == 200 and found["safety"] == ("unsafe" if truth(text_of(number)) else "safe")
        in_a_row = in_a_row + 1 if is_right else 0
        took_s = monotonic() - began
        assert took_s < RECOVERS_WITHIN_S, f"not well {took_s:.1f} s after the fault ended: {status} {found}"
    return monotonic() - began


@pytest.fixture(autouse=True)
def _nothing_is_wrong_afterwards(models: Models) -> Iterator[None]:
    yield
    models.fault = models.chat_fault = None


@pytest.mark.parametrize("name", FAULTS)
def test_a_guard_that_goes_wrong(service: Running, models: Models, numbers: Iterator[int], name: str) -> None:
    models.met.clear()
    models.fault = FAULTS[name]
    # In step with neither which items are unsafe nor which are spared.
    asks = [
        verdict_check(next(numbers), models, ON_FAILURE[count % 5], DETAILS[count // 5 % 2])
        for count in range(VERDICTS_PER_FAULT)
    ]
    asks += [
        chat_check(next(numbers), FAIL_CLOSED[count % 2], is_stream=count % 4 < 2) for count in range(CHATS_PER_FAULT)
    ]
    complaints = asked_of_all(service, asks)
    assert models.met["guard"], "nothing met the fault"
    models.fault = None
    wait_until_well(service, numbers)
    assert not complaints, "\n".join(sorted(complaints))


def chat_check(number: int, policy: str, *, is_stream: bool) -> Callable[[http.client.HTTPConnection], list[str]]:
    """A chat about an item; what of its answer should not be seen, or is no proper end."""

    def check(connection: http.client.HTTPConnection) -> list[str]:
        # The question is harmless and is asked about like any other item.
        message = {"role": "user", "content": f"Item {number}: please describe the garden."}
        body = {"model": "llm-1", "messages": [message], "stream": is_stream}
        reply = send(connection, "POST", "/v1/chat/completions", body, X_Moderation_Policy=policy)
        shown = reply.body.decode("utf-8", "replace") + json.dumps(dict(reply.headers))
        name = f"item {number}, {policy}, {'streamed' if is_stream else 'whole'}: {reply.status}"
        found = []
        if UNSAFE_WORD in shown or secret(number) in shown:
            found.append(f"leaks: {name} {shown[:600]}")
        if reply.status != 200 and reply.status not in CHAT_ERRORS:
            found.append(f"a status that is not documented: {name} {shown[:300]}")
        if reply.status == 200 and is_stream and "data: [DONE]" not in shown and '"error"' not in shown:
            found.append(f"neither an end nor an error: {name} {shown[-300:]}")
        return found

    return check


@pytest.mark.parametrize("name", CHAT_FAULTS)
def test_a_chat_model_that_goes_wrong(service: Running, models: Models, numbers: Iterator[int], name: str) -> None:
    models.met.clear()
    models.chat_fault = CHAT_FAULTS[name]
    asks = [chat_check(next(numbers), ON_FAILURE[count % 5], is_stream=count % 3 < 2) for count in range(CLIENTS)]
    complaints = asked_of_all(service, asks)
    assert models.met["chat"], "nothing met the fault"
    models.chat_fault = None
    wait_until_well(service, numbers)
    assert not complaints, "\n".join(sorted(complaints))


def test_a_guard_that_is_killed_and_comes_back(service: Running, models: Models, numbers: Iterator[int]) -> None:
    for _ in range(3):
        models.guard.stop()
        asks = [verdict_check(next(numbers), models, on_failure, "full") for on_failure in ON_FAILURE * 8]
        complaints = asked_of_all(service, asks)
        models.guard.start()
        wait_until_well(service, numbers)
        assert not complaints, "\n".join(sorted(complaints))


def test_of_all_this_no_text_is_in_the_log_or_the_metrics_and_nothing_broke(service: Running) -> None:
    metrics = service.request("GET", "/metrics").body.decode()
    written = "\n".join(service.lines)
    for where, text in (("log", written), ("metrics", metrics)):
        assert UNSAFE_WORD not in text, where
        assert "ZQX" not in text, where
        assert "please describe" not in text, where
    broken = [line for line in service.log if line.get("status") == 500 or line["event"] == "internal_error"]
    assert broken == []
    assert "moderation_chats_open 0.0" in metrics.splitlines()
    assert "moderation_requests_in_flight 1.0" in metrics.splitlines()
