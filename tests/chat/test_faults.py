"""What goes wrong behind the guarded chat: the right error, never half an answer, never a normal end."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from apps import Like
from fake_llm import SSE_END, SSE_HEAD, FakeLLM, chunk, chunked, event, http, sse, whole
from fakes import FakeEngine

from moderation_service.chat.background import Background
from moderation_service.config.setting import Secret
from moderation_service.errors import ConfigurationError, EngineUnavailable, Overloaded, TooLarge

from .conftest import Chat, documents_or_error, events, finish_of, text_of

RECORDINGS = Path(__file__).parents[1] / "recordings"
SHOWN = "A first sentence that is long enough. "
ERROR = {"error": {"message": "Out of memory.", "type": "server_error", "param": None, "code": 500}}


def chat_of(llm: FakeLLM, *steps: Any, **settings: Any) -> Chat:
    llm.behave = lambda request: steps
    return Chat(llm, **settings)


def error_of(reply: Any) -> tuple[int, str, str]:
    error = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return reply.status_code, error["type"], error["code"]


# Before the answer begins, an error is an HTTP status.


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_is_down_is_503(llm: FakeLLM, stream: bool) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        llm.port, port = unused.getsockname()[1], llm.port
        chat = Chat(llm)
        llm.port = port
        assert error_of(chat.ask(stream=stream)) == (503, "server_error", "chat_model_unavailable")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503, 529, 301])
def test_a_server_that_fails_is_502(llm: FakeLLM, stream: bool, status: int) -> None:
    reply = chat_of(llm, http(status, ERROR, headers="Retry-After: 7\r\n")).ask(stream=stream)
    assert error_of(reply) == (502, "server_error", "chat_model_error")
    assert reply.headers["Retry-After"] == "7"
    assert "memory" not in reply.get_data(as_text=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 404, 422, 429])
def test_what_the_caller_did_wrong_is_passed_on(llm: FakeLLM, stream: bool, status: int) -> None:
    reply = chat_of(llm, http(status, {**ERROR, "more": 1}, headers="Retry-After: 7\r\n")).ask(stream=stream)
    assert (reply.status_code, reply.json) == (status, {**ERROR, "more": 1})
    assert reply.headers["Retry-After"] == "7"


def test_a_refusal_that_is_a_page_keeps_its_status_only(llm: FakeLLM) -> None:
    reply = chat_of(llm, http(429, b"<html>slow down", content_type="text/html")).ask()
    assert error_of(reply) == (429, "rate_limit_error", "chat_model_error")


def test_the_refusal_of_the_operators_key_is_no_fault_of_the_caller(llm: FakeLLM) -> None:
    reply = chat_of(llm, http(401, ERROR), chat_upstream_api_key=Secret("wrong-key")).ask()
    assert error_of(reply) == (502, "server_error", "chat_model_error")


NO_ANSWERS = [
    b"",
    b"garbage",
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
    http(200, b"<html>hello</html>", content_type="text/html"),
    http(200, b"[1]"),
    http(200, b""),
    http(200, {"choices": []}),
    http(200, {"error": "no"}),
    http(200, {"choices": [{"index": "x"}]}),
    http(200, b"[" * 100_000),
    http(200, b'{"choices": [{"message": {"content": "x", "y": %s1%s}}]}' % (b'{"a":' * 300, b"}" * 300)),
]


@pytest.mark.parametrize("data", NO_ANSWERS)
def test_what_is_no_answer_is_502(llm: FakeLLM, data: bytes) -> None:
    assert error_of(chat_of(llm, data).ask()) == (502, "server_error", "chat_model_error")


@pytest.mark.parametrize("data", [*NO_ANSWERS[:3]])
def test_what_is_no_stream_is_502(llm: FakeLLM, data: bytes) -> None:
    found = documents_or_error(chat_of(llm, data).ask(stream=True))
    assert [one["error"]["code"] for one in found] == ["chat_model_error"]


def test_an_answer_that_is_no_stream_although_one_was_asked_for_is_an_error(llm: FakeLLM) -> None:
    reply = chat_of(llm, whole("The whole answer.")).ask(stream=True)
    body = reply.get_data(as_text=True)
    assert "chat_model_error" in body
    assert "whole answer" not in body


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_does_not_answer_is_504(llm: FakeLLM, stream: bool) -> None:
    chat = chat_of(llm, threading.Event(), chat_first_token_timeout_s=0.2)
    assert error_of(chat.ask(stream=stream)) == (504, "server_error", "chat_model_timeout")
    assert llm.hung_up.wait(30)


def test_an_answer_over_the_limit_is_an_error(llm: FakeLLM) -> None:
    chat = chat_of(llm, whole("x" * 2000), chat_max_answer_bytes=1024)
    assert error_of(chat.ask()) == (502, "server_error", "chat_model_error")
    llm.behave = lambda request: sse(*[chunk({"content": "Some text. "}) for _ in range(500)])
    reply = Chat(llm, chat_max_answer_bytes=20_000).ask(stream=True)
    assert documents_or_error(reply)[-1]["error"]["code"] == "chat_model_error"


# In the middle of a stream it is an event, and nothing comes after it.


def broken(*steps: Any) -> tuple[Any, ...]:
    return (
        SSE_HEAD,
        chunked(event(chunk({"content": SHOWN}))),
        chunked(event(chunk({"content": "Half a sen"}))),
        *steps,
    )


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (b"0\r\n\r\n",),
        (b"5\r\nda",),
        (b"zz\r\n",),
        (chunked(b'data: {"choices": [{"ind'),),
        (chunked(b"data: <html>\n\n"),),
        (chunked(b"data: [1]\n\n"),),
        (chunked(event({"choices": 7})),),
    ],
)
def test_a_stream_that_breaks_ends_with_an_error(llm: FakeLLM, steps: tuple[Any, ...]) -> None:
    found = documents_or_error(chat_of(llm, *broken(*steps)).ask(stream=True))
    assert found[-1]["error"] == {
        "message": Like(".+"),
        "type": "server_error",
        "param": None,
        "code": "chat_model_error",
    }
    assert text_of(found[:-1]) in ("", SHOWN)
    assert finish_of(found[:-1]) == []


@pytest.mark.parametrize("server", ["vllm", "llamacpp"])
def test_a_real_stream_cut_anywhere_is_an_error(llm: FakeLLM, server: str) -> None:
    whole_reply = (RECORDINGS / server / "chat_stream.http").read_bytes()
    end = whole_reply.index(b'"finish_reason":"stop"')
    chat = Chat(llm, log_level="error")
    for cut in range(0, end, max(1, end // 40)):
        llm.behave = lambda request, cut=cut: [whole_reply[:cut]]
        found = documents_or_error(chat.ask(stream=True))
        assert found[-1]["error"]["code"] == "chat_model_error"
        assert "[DONE]" not in found


@pytest.mark.parametrize(
    "steps",
    [
        (b"0\r\n\r\n",),
        (),
        (chunked(b'data: {"usage": {"prompt'),),
        (chunked(event({**chunk({}), "choices": [], "usage": {"total_tokens": 1}})), b"0\r\n\r\n"),
    ],
)
def test_a_stream_is_whole_when_every_choice_has_finished(llm: FakeLLM, steps: tuple[Any, ...]) -> None:
    last = [chunked(event(chunk({"content": "And a last one"}, index=index))) for index in (0, 1)]
    ends = [chunked(event(chunk({}, index=index, finish="stop"))) for index in (0, 1)]
    found = chat_of(llm, SSE_HEAD, *last, *ends, *steps).stream(n=2)
    assert [text_of(found, index=index) for index in (0, 1)] == ["And a last one"] * 2
    assert [finish_of(found, index=index) for index in (0, 1)] == [["stop"]] * 2
    assert found[-1] == "[DONE]"
    found = documents_or_error(chat_of(llm, SSE_HEAD, *last, ends[0], *steps).ask(stream=True, n=2))
    assert found[-1]["error"]["code"] == "chat_model_error"


def test_a_finished_stream_does_not_wait_forever_for_its_end_mark(llm: FakeLLM) -> None:
    steps = [SSE_HEAD, chunked(event(chunk({"content": "Yes."}, finish="stop"))), threading.Event()]
    found = chat_of(llm, *steps, chat_idle_timeout_s=0.2).stream()
    assert (text_of(found), found[-1]) == ("Yes.", "[DONE]")


@pytest.mark.parametrize(
    "sent",
    [
        b"data: null\n\n",
        b"data:\n\n",
        b"data: \n\n",
        b"data: : keepalive\n\n",
        b"data: {}\n\n",
        b"retry: 3000\n\n",
        b"event: ping\nid: 7\n\n",
        b'event: ping\ndata: {"type": "ping"}\n\n',
    ],
)
def test_an_event_without_any_text_is_passed_over(llm: FakeLLM, sent: bytes) -> None:
    answer = [chunked(event(chunk({"content": "Yes."}))), chunked(event(chunk({}, finish="stop")))]
    found = chat_of(llm, SSE_HEAD, chunked(sent), answer[0], chunked(sent), answer[1], chunked(sent), SSE_END).stream()
    assert (text_of(found), finish_of(found), found[-1]) == ("Yes.", ["stop"], "[DONE]")


def test_a_stream_that_breaks_later_has_shown_what_was_cleared_and_no_more(llm: FakeLLM) -> None:
    gate = threading.Event()
    reply = chat_of(llm, *broken(gate)).ask(stream=True)
    assert SHOWN.encode() in next(reply.response)
    gate.set()
    found = events(reply)
    assert [one["error"]["code"] for one in found] == ["chat_model_error"]


BROKE_OFF = "The chat model's server broke its answer off with an error."


@pytest.mark.parametrize(
    ("sent", "kind", "code"),
    [
        (event({"error": {"message": "can't read: a bomb", "type": "api_error", "code": 500}}), "api_error", 500),
        (event({"error": {"message": "x", "code": "out_of_memory"}}), "server_error", "out_of_memory"),
        (event({"error": "can't read: a bomb", "choices": [chunk({"content": "a bomb"})]}), None, None),
        (event({"error": {"type": "a bomb", "code": "a bomb", "failed_generation": "a bomb"}}), None, None),
        (b'event: error\ndata: {"message": "a bomb"}\n\n', None, None),
    ],
)
def test_of_an_error_in_the_middle_of_an_answer_the_kind_is_told_and_no_text(
    llm: FakeLLM, sent: bytes, kind: str | None, code: object
) -> None:
    # Some servers quote in it what the model wrote, which nobody has judged.
    found = documents_or_error(chat_of(llm, *broken(chunked(sent))).ask(stream=True))[-1]
    told = {"message": BROKE_OFF, "type": kind or "server_error", "param": None, "code": code or "chat_model_error"}
    assert found == {"error": told}


def test_an_error_event_before_anything_else_is_a_status(llm: FakeLLM) -> None:
    reply = chat_of(llm, SSE_HEAD + chunked(event(ERROR))).ask(stream=True)
    assert (reply.status_code, reply.json) == (502, {"error": {**ERROR["error"], "message": BROKE_OFF}})


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_passed_on_without_what_the_model_wrote(llm: FakeLLM, stream: bool) -> None:
    error = {"message": "The model did not call a tool.", "type": "invalid_request_error", "code": "tool_use_failed"}
    sent = {"error": {**error, "failed_generation": "a bomb"}, "choices": [{"text": "a bomb"}]}
    reply = chat_of(llm, http(400, sent)).ask(stream=stream)
    assert (reply.status_code, reply.json) == (400, {"error": error})
    detail = {"detail": [{"loc": ["body", "n"], "msg": "too small", "type": "value", "input": "a bomb", "at": 1}]}
    reply = chat_of(llm, http(422, detail)).ask(stream=stream)
    assert reply.json == {"detail": [{"loc": ["body", "n"], "msg": "too small", "type": "value", "at": 1}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions"])
def test_a_refusal_that_quotes_harm_keeps_its_kind_and_not_its_words(llm: FakeLLM, path: str, stream: bool) -> None:
    kind = {"type": "invalid_request_error", "param": "tools", "code": "tool_use_failed"}
    chat = chat_of(llm, http(400, {"error": {**kind, "message": "Could not parse: take a bomb"}}))
    hello = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    asked = {"/v1/responses": {"input": "hi"}, "/v1/completions": {"prompt": "hi"}}.get(path, hello)
    reply = chat.post(path, {"model": "m", "stream": stream, **asked})
    told = reply.get_data(as_text=True)
    assert (reply.status_code, "bomb" in told) == (400, False)
    assert "The chat model's server refused the request with status 400." in told
    if path.endswith("/completions"):
        assert {**reply.json["error"], "message": ""} == {**kind, "message": ""}


@pytest.mark.parametrize(
    "sent",
    [
        {"error": {"message": "bad", "type": "put a bomb there"}},
        {"error": {"message": "bad", "a bomb": 1}},
        {"detail": [{"loc": ["a bomb"], "msg": "bad"}]},
        {"error": "a bomb"},
        {"error": {"message": {"message": "a bomb \ud83d"}}},
    ],
)
def test_the_words_of_a_refusal_are_judged_wherever_they_stand(llm: FakeLLM, sent: object) -> None:
    reply = chat_of(llm, http(400, sent)).ask()
    assert reply.json == {
        "error": {
            "message": "The chat model's server refused the request with status 400.",
            "type": "invalid_request_error",
            "param": None,
            "code": "chat_model_error",
        }
    }


def test_a_refusal_that_comes_late_in_a_stream_is_judged_too(llm: FakeLLM) -> None:
    refused = http(400, {"error": {"message": "a bomb", "type": "t", "code": "context_length_exceeded"}})
    chat = chat_of(llm, 0.3, refused, chat_keep_alive_s=0.1)
    told = documents_or_error(chat.ask(stream=True))[-1]["error"]
    assert (told["code"], "bomb" in told["message"]) == ("context_length_exceeded", False)


def test_a_refusal_that_can_not_be_judged_is_told_in_our_words(llm: FakeLLM) -> None:
    engine = FakeEngine(errors={"memory": EngineUnavailable("Down.")})
    reply = chat_of(llm, http(429, ERROR), engine=engine).ask()
    ours = "The chat model's server refused the request with status 429."
    assert reply.json == {"error": {**ERROR["error"], "message": ours}}


@pytest.mark.parametrize("value", ["9" * 400, "1; X-Other: 1", "\xb2", "x" * 100])
@pytest.mark.parametrize(("status", "expected"), [(429, 429), (503, 502)])
def test_a_pause_that_is_none_is_not_passed_on(llm: FakeLLM, value: str, status: int, expected: int) -> None:
    reply = chat_of(llm, http(status, ERROR, headers=f"Retry-After: {value}\r\n")).ask()
    assert (reply.status_code, "Retry-After" in reply.headers) == (expected, False)


def test_a_check_that_could_not_begin_keeps_no_turn(llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = chat_of(llm, whole("Yes."), chat_timeout_s=5.0)
    begins, calls, turns = Background.start, 0, 2

    def start(self: Background, *arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls in (2, 4):  # the answers'; before them come their prompts'
            raise RuntimeError("can't start new thread")
        begins(self, *arguments, **options)

    monkeypatch.setattr(Background, "start", start)
    assert [error_of(chat.ask())[0] for _ in range(turns)] == [500, 500]
    assert chat.ask().status_code == 200


def test_a_pause_that_is_too_long_is_an_error(llm: FakeLLM) -> None:
    found = chat_of(llm, *broken(threading.Event()), chat_idle_timeout_s=0.2).stream()
    assert found[-1]["error"]["code"] == "chat_model_timeout"
    assert llm.hung_up.wait(30)


def test_a_chat_that_takes_too_long_is_an_error(llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(*[step for _ in range(1000) for step in (chunk({"content": "x"}), 0.01)])
    # Long enough to begin on a busy machine; the answer would take ten seconds.
    assert Chat(llm, chat_timeout_s=1).stream()[-1]["error"]["code"] == "chat_model_timeout"


def test_a_client_that_hardly_reads_holds_its_place_no_longer_than_a_chat_may_take(llm: FakeLLM) -> None:
    chat = Chat(llm, chat_timeout_s=1, chat_idle_timeout_s=60)
    client, peer = socket.socketpair()
    with client, peer:
        client.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                client.send(bytes(65536))
        started = monotonic()
        shown = chat.ask(stream=True, client=client).get_data()
        assert (shown, monotonic() - started < 20) == (b"", True)


def test_the_end_mark_ends_a_stream_although_the_body_goes_on(llm: FakeLLM) -> None:
    steps = [SSE_HEAD, chunked(event(chunk({"content": "Yes."}, finish="stop"))), chunked(b"data: [DONE]\n")]
    assert text_of(chat_of(llm, *steps, b"0\r\n\r\n").stream()) == "Yes."
    assert text_of(chat_of(llm, *steps[:2], chunked(event("[DONE]")), threading.Event()).stream()) == "Yes."


def test_the_end_mark_is_the_end_of_a_body_without_length_too(llm: FakeLLM) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    found = chat_of(llm, head + event(chunk({"content": "Yes."}, finish="stop")) + event("[DONE]")).stream()
    assert text_of(found) == "Yes."


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_and_comments_are_read(llm: FakeLLM, end: bytes) -> None:
    data = b": hi\n\n" + event(chunk({"content": "Yes."}, finish="stop")) + event("[DONE]")
    steps = [chunked(bytes([byte])) for byte in data.replace(b"\n", end)]
    assert text_of(chat_of(llm, SSE_HEAD, *steps, b"0\r\n\r\n").stream()) == "Yes."


# While it takes its time.


def test_a_stream_shows_signs_of_life_while_it_waits(llm: FakeLLM) -> None:
    gate = threading.Event()
    llm.behave = lambda request: sse(gate, chunk({"content": "Yes."}), chunk({}, finish="stop"))
    reply = Chat(llm, chat_keep_alive_s=0.05).ask(stream=True)
    body = reply.response
    assert [next(body), next(body)] == [b": keep-alive\n\n"] * 2
    gate.set()
    assert b"Yes." in b"".join(body)


def test_an_error_after_signs_of_life_is_an_event(llm: FakeLLM) -> None:
    gate = threading.Event()
    reply = chat_of(llm, gate, http(429, ERROR), chat_keep_alive_s=0.05).ask(stream=True)
    assert next(reply.response) == b": keep-alive\n\n"
    gate.set()
    assert events(reply) == [ERROR]


@pytest.mark.parametrize("how", ["answer", "error"])
def test_a_prompt_that_is_blocked_after_signs_of_life_is_still_blocked(llm: FakeLLM, how: str) -> None:
    gate = threading.Event()
    chat = Chat(llm, chat_keep_alive_s=0.05, chat_blocked_prompt=how, engine=FakeEngine(gate=gate))
    reply = chat.ask("a bomb", stream=True)
    assert next(reply.response) == b": keep-alive\n\n"
    gate.set()
    found = events(reply)
    if how == "answer":
        assert finish_of(found) == ["content_filter"]
    else:
        assert found[-1]["error"]["code"] == "content_filter"


def test_a_body_that_is_never_read_breaks_everything_off(llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(chunk({"content": SHOWN}), threading.Event())
    Chat(llm).ask(stream=True).close()
    assert llm.hung_up.wait(30)


def test_no_more_chats_than_there_are_places(llm: FakeLLM) -> None:
    gate = threading.Event()
    llm.behave = lambda request: sse(chunk({"content": SHOWN}), gate, chunk({}, finish="stop"))
    chat = Chat(llm, chat_max_streams=1)
    first = chat.ask(stream=True)
    refused = chat.ask(stream=True)
    assert error_of(refused) == (429, "rate_limit_error", "overloaded")
    assert refused.headers["Retry-After"] == "1"
    assert chat.ask(model="guard-qwen").status_code == 200
    gate.set()
    assert text_of(events(first)) == SHOWN
    assert chat.ask(stream=True).status_code == 200


def test_an_engine_that_is_overloaded_for_a_moment_delays_the_answer_only(llm: FakeLLM) -> None:
    class Busy(FakeEngine):
        def judge(self, conversations: Any, **options: Any) -> Any:
            judged = super().judge(conversations, **options)
            return [Overloaded("busy")] if len(self.calls) == 2 else judged

    llm.behave = lambda request: sse(chunk({"content": SHOWN}), chunk({}, finish="stop"))
    assert text_of(Chat(llm, engine=Busy()).stream()) == SHOWN


def test_an_answer_that_is_too_long_to_be_judged_is_not_the_callers_fault(llm: FakeLLM) -> None:
    chat = chat_of(llm, whole("Endless."), engine=FakeEngine(errors={"endless": TooLarge("too many windows")}))
    assert error_of(chat.ask()) == (502, "server_error", "chat_model_error")


def test_a_bug_is_an_error_and_no_answer(llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(chunk({"content": SHOWN}), chunk({}, finish="stop"))

    class Broken(FakeEngine):
        def judge(self, conversations: Any, **options: Any) -> Any:
            if self.calls:
                raise ZeroDivisionError
            return super().judge(conversations, **options)

    found = Chat(llm, engine=Broken()).stream()
    assert found[-1]["error"]["code"] == "internal_error"
    assert text_of(found[:-1]) == ""


def test_the_metrics_tell_how_chats_ended(llm: FakeLLM) -> None:
    chat = Chat(llm)
    chat.ask()
    chat.stream()
    chat.ask("a bomb")
    llm.behave = lambda request: [http(500, {})]
    chat.ask()
    text = chat.get("/metrics").get_data(as_text=True)
    for line in (
        'moderation_chats_total{ended="answered"} 2.0',
        'moderation_chats_total{ended="blocked_prompt"} 1.0',
        'moderation_chats_total{ended="chat_model_error"} 1.0',
        "moderation_chats_open 0.0",
    ):
        assert line in text.splitlines()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody vouches for, with its key."""
    file = tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *subject, "-keyout", file, "-out", tmp_path / "public.pem"], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + (tmp_path / "public.pem").read_bytes())
    return file


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_a_server_behind_tls_is_asked_if_its_certificate_is_good(
    llm: FakeLLM, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    llm.tls.load_cert_chain(certificate)
    llm.behave = lambda request: sse(*[chunk({"content": "word " * 2000}) for _ in range(20)], chunk({}, finish="stop"))
    assert error_of(Chat(llm).ask()) == (503, "server_error", "chat_model_unavailable")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert text_of(Chat(llm).stream()) == "word " * 40_000


def test_places_for_chats_leave_a_thread_for_everything_else(llm: FakeLLM) -> None:
    with pytest.raises(ConfigurationError, match="chat_max_streams: must be less than threads"):
        Chat(llm, threads=8, chat_max_streams=8)
