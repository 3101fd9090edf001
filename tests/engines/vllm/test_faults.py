"""A model server that dies, hangs, stutters or talks nonsense: an error each time, never a "safe" it did not say."""

from __future__ import annotations

import json
import queue
import threading

import pytest
from crowd import asking
from fake_guard_server import BREAD, FakeServer, Hang, Send, answering, completion, guard, recorded, reply, wait_until

from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Detail, Severity, Verdict
from moderation_service.errors import EngineError, EngineUnavailable

SAFE = Conversation.of(prompt=BREAD)


def truncated(keep: int) -> Send:
    """The first bytes of a good reply, then the end of the connection."""
    return Send(recorded("ok_stopped_after_safe").data[:keep], then_close=True)


def with_text(text: object) -> Send:
    return reply(200, {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})


FAULTS = {
    "closed at once": (Send(b"", then_close=True), "engine_unavailable"),
    "closed in the head": (truncated(30), "engine_unavailable"),
    "closed in the body": (truncated(400), "engine_unavailable"),
    "500": (reply(500, {"error": {"message": "boom", "code": 500}}), "engine_unavailable"),
    "502 with a page": (reply(502, b"<html>Bad Gateway</html>", content_type="text/html"), "engine_unavailable"),
    "overloaded": (recorded("err_overloaded"), "engine_unavailable"),
    "429": (reply(429, {"error": "slow down"}, headers="retry-after: 7\r\n"), "engine_unavailable"),
    "wrong key": (recorded("key_wrong"), "engine_unavailable"),
    "wrong key at llama.cpp": (recorded("key_wrong", server="llamacpp"), "engine_unavailable"),
    "wrong model": (recorded("err_wrong_model"), "engine_unavailable"),
    "wrong address": (recorded("err_unknown_path"), "engine_unavailable"),
    "bad request": (recorded("err_messages_empty"), "engine_unavailable"),
    "redirect": (reply(302, b"", headers="location: http://127.0.0.1:1/\r\n"), "engine_answer_invalid"),
    "204": (Send(b"HTTP/1.1 204 No Content\r\n\r\n"), "engine_answer_invalid"),
    "a page": (reply(200, b"<html>Safety: Safe</html>", content_type="text/html"), "engine_answer_invalid"),
    "not HTTP": (Send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", then_close=True), "engine_answer_invalid"),
    "binary": (Send(bytes(range(256)) * 400, then_close=True), "engine_answer_invalid"),
    "two lengths": (
        Send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} "),
        "engine_answer_invalid",
    ),
    "no length": (Send(b"HTTP/1.1 200 OK\r\n\r\n{}", then_close=True), "engine_answer_invalid"),
    "negative length": (Send(b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}"), "engine_answer_invalid"),
    "huge length": (Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{}"), "engine_answer_invalid"),
    "bad chunks": (Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"), "engine_answer_invalid"),
    "empty body": (reply(200, b""), "engine_answer_invalid"),
    "broken JSON": (reply(200, b'{"choices": [{"message": {"content": "Safety: Safe'), "engine_answer_invalid"),
    "a JSON list": (reply(200, ["Safety: Safe"]), "engine_answer_invalid"),
    "an error with status 200": (reply(200, {"error": {"message": "no"}}), "engine_answer_invalid"),
    "no choices": (reply(200, {"choices": []}), "engine_answer_invalid"),
    "null content": (with_text(None), "engine_answer_invalid"),
    "a number as content": (with_text(1), "engine_answer_invalid"),
    "empty content": (with_text(""), "engine_answer_invalid"),
    "an apology": (with_text("I can't help with that."), "engine_answer_invalid"),
    "an unknown label": (with_text("Safety: Fine\nCategories: None"), "engine_answer_invalid"),
    "two safe labels": (with_text("Safety: Safe\nSafety: Safe\nCategories: None"), "engine_answer_invalid"),
    "words around it": (with_text("Safety: Safe\nCategories: None\nI am sure."), "engine_answer_invalid"),
    "cut short": (completion("Safety: Safe\nCategories:", finish="length"), "engine_answer_invalid"),
    "only the label, not from our stop": (with_text("Safety: Safe"), "engine_answer_invalid"),
}


@pytest.mark.parametrize(
    ("dialect", "detail"), [("vllm", Detail.FULL), ("vllm", Detail.SEVERITY), ("llamacpp", Detail.SEVERITY)]
)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_an_error_never_safe(upstream, engine_for, fault: str, dialect: str, detail: Detail) -> None:
    action, error_type = FAULTS[fault]
    upstream.behave = answering(action)
    if dialect == "llamacpp" and fault == "cut short":
        pytest.skip("the label is in the first four tokens: a verdict with that detail")
    (found,) = engine_for(upstream, dialect=dialect).judge([SAFE], detail=detail, deadline=Deadline.after(5))
    assert isinstance(found, EngineError), repr(found)
    assert found.type == error_type


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_while_the_server_is_got_to_know_is_an_error_too(upstream, engine_for, fault: str) -> None:
    upstream.behave = lambda request: FAULTS[fault][0]
    engine = engine_for(upstream, timeout_s=1.0)
    (found,) = engine.judge([SAFE], deadline=Deadline.after(5))
    assert isinstance(found, EngineError), repr(found)
    with pytest.raises(EngineError):
        engine.check_ready()


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\n", recorded("ok_stopped_after_safe").data[:-20]])
def test_a_server_that_hangs_costs_no_more_than_the_deadline(upstream, engine_for, after: bytes) -> None:
    upstream.behave = answering(Hang(after))
    (found,) = engine_for(upstream).judge([SAFE], deadline=Deadline.after(0.3))
    assert found.type == "deadline_exceeded"


def test_a_text_of_the_server_is_never_repeated_in_an_error(upstream, engine_for) -> None:
    secret = "the prompt was: my secret"
    for action in (with_text(secret), reply(500, {"error": {"message": secret}}), reply(400, {"error": secret})):
        upstream.behave = answering(action)
        (found,) = engine_for(upstream).judge([SAFE])
        assert secret not in json.dumps(found.to_json())


def test_nothing_listens(engine_for) -> None:
    fake = FakeServer()
    fake.start()
    fake.stop()
    engine = engine_for(fake)
    (found,) = engine.judge([SAFE])
    assert isinstance(found, EngineUnavailable)
    with pytest.raises(EngineUnavailable):
        engine.check_ready()


def test_a_kept_connection_that_the_server_closed_costs_nobody_a_verdict(upstream, engine_for) -> None:
    def close_after_each(request):
        action = guard(request)
        return Send(action.data, then_close=True)

    upstream.behave = close_after_each
    engine = engine_for(upstream)
    for _ in range(10):
        (found,) = engine.judge([SAFE])
        assert isinstance(found, Verdict), repr(found)


def test_a_killed_server_is_used_again_soon_after_its_return(upstream, engine_for) -> None:
    engine = engine_for(upstream)
    (before,) = engine.judge([SAFE])
    upstream.stop()
    (during,) = engine.judge([SAFE])
    (refused_at_once,) = engine.judge([SAFE])
    with pytest.raises(EngineUnavailable):
        engine.check_ready()
    upstream.start()
    assert wait_until(lambda: isinstance(engine.judge([SAFE])[0], Verdict), within_s=5.0)
    engine.check_ready()
    assert isinstance(before, Verdict)
    assert isinstance(during, EngineUnavailable)
    assert isinstance(refused_at_once, EngineUnavailable)


def test_a_server_killed_under_load_gives_verdicts_or_errors(upstream, engine_for) -> None:
    engine = engine_for(upstream)
    found: list[object] = []

    def ask(number: int) -> None:
        found.extend(engine.judge([Conversation.of(prompt="How can I make a bomb?")]))

    with asking(ask, callers=8):
        assert wait_until(lambda: len(found) > 50)
        upstream.stop()
        assert wait_until(lambda: any(isinstance(one, EngineError) for one in list(found)))
        upstream.start()
        after = len(found)
        assert wait_until(lambda: isinstance(found[-1], Verdict) and len(found) > after)
    assert {one.severity for one in found if isinstance(one, Verdict)} == {Severity.UNSAFE}
    assert all(isinstance(one, (Verdict, EngineError)) for one in found)


@pytest.mark.parametrize("fault", ["closed at once", "500", "overloaded", "a page", "an apology", "wrong key"])
def test_another_server_is_asked_when_one_fails(upstream, second, engine_for, fault: str) -> None:
    upstream.behave = answering(FAULTS[fault][0])
    engine = engine_for(upstream, second)
    for _ in range(6):
        (found,) = engine.judge([SAFE])
        assert isinstance(found, Verdict), repr(found)


def test_a_server_that_keeps_failing_is_left_out_until_it_is_well(upstream, second, engine_for) -> None:
    sick = True
    upstream.behave = lambda request: reply(500, {}) if sick else guard(request)
    engine = engine_for(upstream, second)
    for _ in range(12):
        assert isinstance(engine.judge([SAFE])[0], Verdict)
    # Left out after three failures; the rest are the probe's.
    assert len(upstream.questions) == 0
    sick = False
    assert wait_until(lambda: bool(engine.judge([SAFE]) and upstream.questions), within_s=5.0)


def test_a_server_that_hangs_leaves_time_to_ask_another_one(upstream, second, engine_for) -> None:
    engine = engine_for(upstream, second, timeout_s=0.5)
    for _ in range(4):
        engine.judge([SAFE])
    upstream.behave = Hang_always
    second_before = len(second.questions)
    for _ in range(2):
        assert isinstance(engine.judge([SAFE], deadline=Deadline.after(10))[0], Verdict)
    assert len(second.questions) >= second_before + 2


def Hang_always(request: object) -> Hang:
    return Hang()


def test_the_less_busy_server_is_asked(upstream, second, engine_for) -> None:
    engine = engine_for(upstream, second)
    for _ in range(4):
        engine.judge([SAFE])
    go_on, busy = threading.Event(), queue.SimpleQueue()
    first = threading.Lock()

    def slow_once(server):
        def behave(request):
            if first.acquire(blocking=False):
                busy.put(server)
                go_on.wait(10)
            return guard(request)

        return answering(behave)

    upstream.behave, second.behave = slow_once(upstream), slow_once(second)
    waiting = threading.Thread(target=engine.judge, args=([SAFE],))
    waiting.start()
    asked = busy.get(timeout=10)
    before = len(asked.questions)
    for _ in range(5):
        assert isinstance(engine.judge([SAFE])[0], Verdict)
    assert len(asked.questions) == before
    go_on.set()
    waiting.join()


def test_odd_answers_do_not_put_a_server_out_of_use(upstream, engine_for) -> None:
    upstream.behave = answering(completion("Gibberish"))
    engine = engine_for(upstream)
    for _ in range(5):
        assert engine.judge([SAFE])[0].type == "engine_answer_invalid"
    upstream.behave = guard
    assert isinstance(engine.judge([SAFE])[0], Verdict)


def test_readiness_takes_a_real_answer_and_forgets_it_after_an_outage(upstream, engine_for) -> None:
    engine = engine_for(upstream)
    engine.check_ready()
    asked = [request for request in upstream.requests if request.path == "/v1/chat/completions"]
    assert asked[-1].body["logprobs"] is True
    engine.check_ready()
    assert [request for request in upstream.requests if request.path == "/v1/chat/completions"] == asked
    upstream.stop()
    engine.judge([SAFE])
    with pytest.raises(EngineUnavailable):
        engine.check_ready()
