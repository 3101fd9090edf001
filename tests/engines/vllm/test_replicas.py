"""Several model servers over real connections: one that hangs, one that asks for a pause."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic

import pytest
from fake_guard_server import BREAD, Hang, Send, answering, completion, guard, reply, wait_until

from moderation_service.config.settings import Settings
from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Severity, Verdict
from moderation_service.engines.vllm import upstream_options
from moderation_service.errors import EngineUnavailable, Overloaded

SAFE = Conversation.of(prompt=BREAD)
# Far more than a test may take: what comes is not there because a time was over.
LONG_S = 60.0


def known(engine) -> None:
    """Make both servers known."""
    for _ in range(4):
        assert isinstance(engine.judge([SAFE])[0], Verdict)


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"])
def test_a_server_that_hangs_costs_a_quarter_of_the_deadline_and_is_left_out(
    upstream, second, engine_for, after: bytes
) -> None:
    engine = engine_for(upstream, second, timeout_s=LONG_S)
    known(engine)
    before = len(upstream.questions)
    upstream.behave = lambda request: Hang(after)
    for _ in range(8):
        (found,) = engine.judge([SAFE], deadline=Deadline.after(1.0))
        assert isinstance(found, Verdict), repr(found)
    assert len(upstream.questions) - before == 3
    upstream.behave = guard


def test_a_quarter_of_the_deadline_is_what_it_costs(upstream, second, engine_for) -> None:
    engine = engine_for(upstream, second, timeout_s=LONG_S)
    known(engine)
    upstream.behave = lambda request: Hang()
    started = monotonic()
    for _ in range(2):  # one of them goes to the server that hangs
        assert isinstance(engine.judge([SAFE], deadline=Deadline.after(4.0))[0], Verdict)
    assert 1.0 <= monotonic() - started < 3.0


@pytest.mark.parametrize("texts", [1, 6])
def test_a_server_that_hangs_when_it_is_got_to_know_costs_no_more(upstream, second, engine_for, texts: int) -> None:
    upstream.behave = lambda request: Hang()
    engine = engine_for(upstream, second, timeout_s=LONG_S)
    for _ in range(2):
        for found in engine.judge([SAFE] * texts, deadline=Deadline.after(2.0)):
            assert isinstance(found, Verdict), repr(found)
    upstream.stop()


def test_a_server_that_hangs_while_somebody_else_gets_to_know_it_costs_no_more(upstream, second, engine_for) -> None:
    asked = threading.Event()

    def hangs(request):
        asked.set()
        return Hang()

    upstream.behave = hangs
    engine = engine_for(upstream, second, timeout_s=LONG_S)
    probe = threading.Thread(target=engine.check_ready)  # goes on to the other server in the end
    probe.start()
    assert asked.wait(30)
    for _ in range(2):
        (found,) = engine.judge([SAFE], deadline=Deadline.after(2.0))
        assert isinstance(found, Verdict), repr(found)
    upstream.stop()
    probe.join()


def test_an_answer_that_comes_while_the_second_server_is_asked_counts(upstream, second, engine_for) -> None:
    engine = engine_for(upstream, second, timeout_s=LONG_S)
    known(engine)
    asked, go_on = threading.Event(), threading.Event()

    def slow(request):
        assert asked.wait(30)
        return guard(request)

    def waits(request):
        asked.set()
        go_on.wait(30)
        return guard(request)

    upstream.behave, second.behave = answering(slow), answering(waits)
    (found,) = engine.judge([Conversation.of(prompt="How can I make a bomb?")], deadline=Deadline.after(1.0))
    go_on.set()
    assert isinstance(found, Verdict)
    assert found.severity is Severity.UNSAFE


def test_a_server_that_says_when_to_come_again_is_left_alone_until_then(upstream, second, engine_for) -> None:
    engine = engine_for(upstream, second)
    known(engine)
    before = len(upstream.questions)
    upstream.behave = answering(reply(429, {"error": "slow down"}, headers="Retry-After: 30\r\n"))
    for _ in range(12):
        assert isinstance(engine.judge([SAFE])[0], Verdict)
    assert len(upstream.questions) - before == 1


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "least", "most", "calls"),
    [
        ("7", 7, 7, 1),
        ("3600", 60, 60, 1),
        ("9" * 30, 60, 60, 1),
        (40, 20, 40, 1),
        (4000, 60, 60, 1),
        (-40, 1, 1, 3),
        ("0", 1, 1, 3),
        ("-5", 1, 1, 3),
        ("soon", 1, 1, 3),
        ("", 1, 1, 3),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_that_all_servers_ask_for_is_kept_to_a_minute_at_most(
    upstream, engine_for, status: int, value: str | int, least: float, most: float, calls: int
) -> None:
    engine = engine_for(upstream)
    known(engine)
    before = len(upstream.questions)
    sent = value if isinstance(value, str) else in_seconds(value)
    upstream.behave = answering(reply(status, {}, headers=f"Retry-After: {sent}\r\n"))
    for _ in range(3):
        (found,) = engine.judge([SAFE])
        assert isinstance(found, EngineUnavailable)
        assert least - 1 <= found.retry_after_s <= most
    assert len(upstream.questions) - before == calls


def test_a_reply_that_llhttp_takes_and_we_do_not_is_an_error(upstream, engine_for) -> None:
    engine = engine_for(upstream)
    known(engine)
    body = b"2\r\n{}\r\n0\r\n\r\n"
    for head in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", b"HTTP/2.0 200 OK\r\nContent-Length: 2"):
        upstream.behave = answering(Send(head + b"\r\n\r\n" + body))
        assert engine.judge([SAFE])[0].type == "engine_answer_invalid"


class Busy:
    """Answers when it is let, and counts how many questions it has at once."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.most = self.now = 0
        self._lock = threading.Lock()

    def __call__(self, request):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go_on.wait(30)
        with self._lock:
            self.now -= 1
        return guard(request)


def test_a_server_never_has_more_calls_than_it_may_have_and_others_wait_for_a_place(
    upstream, second, engine_for
) -> None:
    engine = engine_for(upstream, second, most_per_replica=lambda: 3)
    known(engine)
    one, other = Busy(), Busy()
    upstream.behave, second.behave = answering(one), answering(other)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.extend(engine.judge([SAFE]))) for _ in range(16)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: one.now + other.now == 6)
    one.go_on.set()
    other.go_on.set()
    for thread in threads:
        thread.join()
    assert [type(each) for each in found] == [Verdict] * 16
    assert (one.most, other.most) == (3, 3)


def test_who_finds_no_place_for_half_a_second_is_refused_and_the_bound_may_change(upstream, engine_for) -> None:
    bound = [1]
    engine = engine_for(upstream, most_per_replica=lambda: bound[0])
    known(engine)
    busy = Busy()
    upstream.behave = answering(busy)
    first = threading.Thread(target=lambda: engine.judge([SAFE]))
    first.start()
    assert wait_until(lambda: busy.now == 1)
    started = monotonic()
    [found] = engine.judge([SAFE])
    assert isinstance(found, Overloaded)
    assert (found.status, found.retry_after_s) == (429, 1.0)
    assert 0.4 < monotonic() - started < 5
    bound[0] = 2
    second = threading.Thread(target=lambda: engine.judge([SAFE]))
    second.start()
    assert wait_until(lambda: busy.now == 2)
    busy.go_on.set()
    for thread in (first, second):
        thread.join()
    assert isinstance(engine.judge([SAFE])[0], Verdict)


@pytest.mark.parametrize(
    ("settings", "sharers", "bound"),
    [
        ({}, 1, 32),
        ({"workers": 4, "cluster_pods": 4}, 1, 4),
        ({"workers": 4}, 40, 1),
        ({"workers": 1, "upstream_replica_calls": 10}, 3, 3),
        ({"workers": 256, "cluster_pods": 100}, 1, 1),
        ({"upstream_replica_calls": 0}, 1, None),
        ({}, None, None),
    ],
)
def test_the_bound_is_shared_out_among_all_processes_that_are_known(settings, sharers, bound) -> None:
    known = None if sharers is None else lambda: sharers
    most = upstream_options(Settings(engine="vllm", **settings), sharers=known).most_per_replica
    assert (most and most()) == bound


@pytest.mark.parametrize(("dialect", "is_cut_unseen"), [("vllm", False), ("sglang", False), ("ollama", True)])
def test_a_context_that_nobody_told_is_said_once(
    upstream, engine_for, caplog: pytest.LogCaptureFixture, dialect: str, is_cut_unseen: bool
) -> None:
    def told_nothing(request):
        listed = reply(200, {"data": [{"id": "guard", "owned_by": "a router"}]})
        return listed if request.path == "/v1/models" else guard(request)

    upstream.behave = told_nothing
    engine = engine_for(upstream, dialect=dialect)
    for _ in range(3):
        engine.judge([SAFE])
        upstream.behave = answering(reply(404, {}))  # what was known is forgotten
        engine.judge([SAFE])
        upstream.behave = told_nothing
    assert [(one.message, one.fields["context"], one.fields["is_cut_unseen"]) for one in caplog.records] == [
        ("context_assumed", 4096, is_cut_unseen)
    ]


def routed(request, *, owner: str = "a router"):
    """A server behind a router that tells only the name of the model."""
    if request.path == "/v1/models":
        return reply(200, {"data": [{"id": "guard", "owned_by": owner}]})
    if request.path == "/tokenize" and request.body.get("prompt") == " Safe":
        return reply(200, {"count": 1, "max_model_len": 600, "tokens": [1057]})
    if request.path != "/v1/chat/completions":
        return guard(request)
    is_response = request.body["messages"][-1]["role"] == "assistant"
    return completion("Safety: Safe\nCategories: None" + "\nRefusal: No" * is_response)


@pytest.mark.parametrize("owner", ["vllm", "a router"])
def test_a_context_that_the_list_of_models_does_not_tell_is_asked_for(upstream, engine_for, caplog, owner: str) -> None:
    upstream.behave = lambda request: routed(request, owner=owner)
    [found] = engine_for(upstream).judge([Conversation.of(prompt="Bread is good. " * 60)])
    assert isinstance(found, Verdict)
    assert found.windows > 1, "the context is what was told, not what is assumed"
    assert not caplog.records


@pytest.mark.parametrize(
    ("told", "is_known"),
    [
        # Ray Serve LLM 2.60.
        ({"metadata": {"model_id": "guard", "max_request_context_length": 600}}, True),
        ({"meta": {"n_ctx": 600}}, True),
        ({"max_model_len": None, "metadata": {"max_request_context_length": 600}}, True),
        ({"metadata": {"max_request_context_length": None}}, False),
        ({"metadata": {"max_request_context_length": "600"}}, False),
        ({"metadata": ["max_request_context_length"]}, False),
        ({"max_model_len": 0, "meta": None, "metadata": None}, False),
    ],
)
def test_each_kind_of_server_tells_its_context_in_a_place_of_its_own(
    upstream, engine_for, caplog, told: dict[str, object], is_known: bool
) -> None:
    def behave(request):
        if request.path == "/v1/models":
            return reply(200, {"data": [{"id": "guard", "owned_by": "organization-owner", **told}]})
        return reply(404, {}) if request.path == "/tokenize" else routed(request)

    upstream.behave = behave
    [found] = engine_for(upstream).judge([Conversation.of(prompt="Bread is good. " * 60)])
    assert isinstance(found, Verdict)
    assert (found.windows > 1) is is_known
    assert [one.message for one in caplog.records] == ([] if is_known else ["context_assumed"])


def test_a_server_of_the_plain_api_is_asked_nothing_else(upstream, engine_for) -> None:
    upstream.behave = routed
    known(engine_for(upstream, dialect="openai"))
    assert {one.path for one in upstream.requests} == {"/v1/models", "/v1/chat/completions"}


def test_a_context_that_the_settings_or_the_server_tell_is_not_worth_a_word(upstream, engine_for, caplog) -> None:
    known(engine_for(upstream))
    known(engine_for(upstream, dialect="vllm", context_tokens=8192))
    assert not caplog.records
