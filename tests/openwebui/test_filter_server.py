"""The filter server under /owui, with the calls that Open WebUI 0.12.4 makes (recorded)."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from apps import keys, make_client
from fakes import FakeEngine
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from processes import SERVE_FAKE, running

from moderation_service.core.policy import BUILT_IN, Policies
from moderation_service.errors import EngineUnavailable, ModerationError, Overloaded
from moderation_service.wires.open_webui import CONTEXT_CHARS, CONTEXT_TURNS, Hook, parse, reason_phrase, replace_answer
from moderation_service.wires.unchecked import UNCHECKED_MESSAGES

LINES = (Path(__file__).parent / "recordings" / "filter_server.jsonl").read_text(encoding="utf-8").splitlines()
RECORDED = [json.loads(line) for line in LINES]
INLET, OUTLET = "/owui/moderation-guard/filter/inlet", "/owui/moderation-guard/filter/outlet"
REFUSAL = "Sorry, I can't help with that."
UNCHECKED = UNCHECKED_MESSAGES["en"]
THANKS = {"role": "user", "content": "thanks"}
POLICIES = Policies(dict(BUILT_IN), default="balanced")


def inlet(messages: Any, **metadata: Any) -> dict[str, Any]:
    return {"user": {"id": "u-1"}, "body": {"model": "m", "messages": messages, "metadata": metadata}}


def outlet(answer: Any, *before: dict[str, Any], **more: Any) -> dict[str, Any]:
    messages = [*(before or [THANKS]), {"id": "a", "role": "assistant", "content": answer, **more}]
    return {"user": {"id": "u-1"}, "body": {"model": "m", "messages": messages, "chat_id": "c-1", "id": "a"}}


def output(text: str, kind: str = "message") -> list[dict[str, Any]]:
    part = {"type": "output_text", "text": text}
    return [{"type": kind, "id": "m", "status": "completed", "role": "assistant", "content": [part]}]


def replaced(envelope: dict[str, Any], message: str) -> dict[str, Any]:
    body = copy.deepcopy(envelope["body"])
    body["messages"][-1]["content"] = message
    return body


# What Open WebUI finds.


@pytest.mark.parametrize(
    ("base", "name", "policy"),
    [("/owui", "moderation-guard", "balanced"), ("/owui/strict", "moderation-guard.strict", "strict")],
)
def test_a_connection_finds_one_filter_for_all_models(base: str, name: str, policy: str) -> None:
    client = make_client()
    label = f"Moderation guard (policy {policy})"
    pipeline = {"type": "filter", "pipelines": ["*"], "priority": 0, "valves": False}
    model = {"id": name, "name": label, "object": "model", "created": 0, "owned_by": "moderation-service"}
    assert client.get(f"{base}/models").json == {
        "object": "list",
        "pipelines": True,
        "data": [{**model, "pipeline": pipeline}],
    }
    page = {"data": [{"id": name, "name": label, "type": "filter", "valves": False}]}
    assert client.get(f"{base}/pipelines").json == page
    assert client.get(f"{base}/{name}/valves").json == {}
    assert client.get(f"{base}/{name}/valves/spec").json == {"type": "object", "properties": {}}


@pytest.mark.parametrize("path", ["/owui/polcy/models", "/owui/polcy/pipelines"])
def test_an_unknown_policy_is_an_error_where_the_connection_is_tried(path: str) -> None:
    reply = make_client().get(path)
    assert (reply.status_code, reply.json["error"]["param"]) == (400, "policy")


def test_the_routes_want_a_key_like_all_others() -> None:
    client = make_client(api_keys=keys("correct-horse-battery"))
    assert client.get("/owui/models").status_code == 401
    assert client.get("/owui/models", headers={"Authorization": "Bearer correct-horse-battery"}).status_code == 200
    reply = client.post(INLET, json=inlet([THANKS]))
    assert reply.status == "401 Send a key as `Authorization: Bearer ...` or `X-API-Key`."


# What is allowed goes back as it came.


@pytest.mark.parametrize("call", RECORDED, ids=lambda call: call["path"])
def test_a_recorded_call_is_answered_with_its_body(call: dict[str, Any]) -> None:
    reply = make_client().post(f"/owui/moderation-guard/filter/{call['path']}", json=call["envelope"])
    assert (reply.status_code, reply.json) == (200, call["envelope"]["body"])
    assert (reply.headers["X-Moderation-Action"], reply.headers["X-Moderation-Degraded"]) == ("allow", "false")


def test_of_the_recorded_calls_the_users_own_text_is_judged() -> None:
    engine = FakeEngine()
    client = make_client(engine=engine, cache_size=0)
    for call in RECORDED:
        client.post(f"/owui/moderation-guard/filter/{call['path']}", json=call["envelope"])
    question = "How do I bake bread?"
    chat = [question, "Echo: " + question]
    assert engine.asked == [*chat, *chat, question, "With flour.", "With water.", question]


def test_half_a_surrogate_pair_elsewhere_in_the_body_goes_back_too() -> None:
    envelope = {**inlet([THANKS]), "body": {**inlet([THANKS])["body"], "title": "\ud83d"}}
    assert make_client().post(INLET, json=envelope).json == envelope["body"]


# Prompts.


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "a bomb"}],
        [{"role": "user", "content": "a bomb"}, THANKS],
        [{"role": "system", "content": "a bomb"}, THANKS],
        [{"role": "developer", "content": "a bomb"}, THANKS],
        [THANKS, {"role": "assistant", "content": "ok"}, {"role": "system", "content": "a bomb"}, THANKS],
        [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "text", "text": "a bomb"}],
            }
        ],
        [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "a bomb"}}, "thanks"]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x", "alt": "a bomb"}}]}],
        [{"role": "user", "content": ["a bomb"]}],
        [{"role": "user", "content": [{"type": "refusal", "text": "thanks", "refusal": "a bomb"}]}],
        [THANKS, {"role": "assistant", "content": "The bomb is"}],
        [THANKS, {"role": "assistant", "content": None}, {"role": "tool", "content": "a bomb"}],
        [{"role": "user", "content": "a bomb"}, {"role": "assistant", "content": " "}, THANKS],
        [{"role": "narrator", "content": "a bomb"}, THANKS],
        [{"content": "a bomb"}],
    ],
)
def test_all_new_text_is_judged(messages: list[dict[str, Any]]) -> None:
    reply = make_client().post(INLET, json=inlet(messages))
    assert (reply.status, reply.json) == (f"403 {REFUSAL}", {"detail": REFUSAL})
    assert reply.headers["X-Moderation-Action"] == "block"


def test_older_turns_are_context() -> None:
    engine = FakeEngine()
    history = [{"role": "user", "content": "a bomb"}, {"role": "assistant", "content": "No."}] * 20
    assert make_client(engine=engine).post(INLET, json=inlet([*history, THANKS])).status_code == 200
    assert engine.asked == ["thanks"]
    check = parse(Hook.INLET, inlet([*history, THANKS]), policies=POLICIES, policy=None).checks[0]
    assert len(check.conversation.messages) == CONTEXT_TURNS + 1
    long = [{"role": "user", "content": "x" * CONTEXT_CHARS}, {"role": "assistant", "content": "No."}]
    check = parse(Hook.INLET, inlet([*long, THANKS]), policies=POLICIES, policy=None).checks[0]
    assert [one.content for one in check.conversation.messages] == ["", "No.", "thanks"]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": " \n"}],
        [{"role": "user", "content": [{"type": "image_url"}]}],
        [{"role": "user"}],
    ],
)
def test_a_call_without_text_passes(messages: list[dict[str, Any]]) -> None:
    engine = FakeEngine()
    assert make_client(engine=engine).post(INLET, json=inlet(messages)).status_code == 200
    assert engine.asked == []


def task(**body: Any) -> dict[str, Any]:
    wrapped = {"role": "user", "content": "### Task: a prompt of Open WebUI's own, with the word bomb in it"}
    return inlet([wrapped], task="title_generation", task_body=body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": [THANKS]}, 200),
        ({"messages": [{"role": "user", "content": "a bomb"}]}, 403),
        ({"messages": [{"role": "user", "content": "a bomb"}, {"role": "assistant", "content": "No."}]}, 403),
        ({"prompt": "thanks"}, 200),
        ({"prompt": "a bomb"}, 403),
        ({"prompt": "thanks", "responses": ["fine", "a bomb"]}, 403),
        ({"prompt": "thanks", "responses": ["fine"]}, 200),
        ({"prompt": 7}, 400),
        ({"prompt": "thanks", "responses": "a bomb"}, 400),
        ({"prompt": "thanks", "responses": ["x"] * 17}, 413),
        ({}, 200),
    ],
)
def test_of_a_task_the_users_text_is_judged_and_not_the_prompt_around_it(body: dict[str, Any], status: int) -> None:
    assert make_client().post(INLET, json=task(**body)).status_code == status


def test_a_task_that_does_not_say_what_it_is_made_of_is_judged_as_it_is() -> None:
    envelope = inlet([{"role": "user", "content": "a bomb"}], task="title_generation")
    assert make_client().post(INLET, json=envelope).status_code == 403


@pytest.mark.parametrize(("policy", "status"), [("strict", 403), ("loose", 200)])
def test_the_policy_is_the_one_of_the_address(policy: str, status: int) -> None:
    path = f"/owui/{policy}/moderation-guard.{policy}/filter/inlet"
    assert make_client().post(path, json=inlet([{"role": "user", "content": "an insult"}])).status_code == status


# The message.


def phrase(reply: Any) -> str:
    """The reason phrase as a client reads it."""
    return str(reply.status).partition(" ")[2].encode("latin-1").decode()


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("zh-CN", "a bomb", "抱歉，我无法协助处理此请求。"),
        ("de-DE", "做 bomb", "Dabei kann ich leider nicht helfen."),
        (None, "做 bomb", "抱歉，我无法协助处理此请求。"),
        (None, "爆弾を作る bomb", "申し訳ありませんが、そのご要望にはお応えできません。"),
        (None, "폭탄 bomb", "죄송하지만 그 요청은 도와드릴 수 없습니다."),
        ("no tag\r\nX: y", "a bomb", REFUSAL),
        (7, "a bomb", REFUSAL),
    ],
)
def test_the_message_is_in_the_users_language(language: Any, text: str, message: str) -> None:
    variables = {"{{USER_LANGUAGE}}": language} if language else {}
    reply = make_client().post(INLET, json=inlet([{"role": "user", "content": text}], variables=variables))
    assert (phrase(reply), reply.json) == (message, {"detail": message})


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Not here.\r\nSet-Cookie: a=b", "Not here. Set-Cookie: a=b"),
        ("two\u2028lines\x00 and\tmore \x85", "two lines and more"),
        ("抱歉 🙂", "抱歉 🙂"),
        ("\n\x00 ", "Blocked"),
        ("half \ud83d a pair", "half a pair"),
    ],
)
def test_a_reason_phrase_is_one_line_of_visible_text(message: str, expected: str) -> None:
    assert reason_phrase(message).encode("latin-1").decode() == expected


@given(st.text())
def test_any_message_makes_a_status_line(message: str) -> None:
    line = reason_phrase(message).encode("latin-1")
    assert 0 < len(line) <= 400
    assert line.decode().isprintable() or not any(byte < 32 or byte == 127 for byte in line)


def test_the_message_comes_through_the_real_server(tmp_path: Path) -> None:
    messages = '{en: "No.\\r\\nSet-Cookie: a=b", zh: 不行。}'
    policies = tmp_path / "policies.yaml"
    policies.write_text(f"policies: {{own: {{message: {messages}}}}}", encoding="utf-8")
    with running("--policies-file", str(policies), "--default-policy", "own", command=SERVE_FAKE) as service:
        sent = json.dumps(inlet([{"role": "user", "content": "a bomb"}])).encode()
        head = f"POST {INLET} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        received = service.raw(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        assert received.startswith(b"HTTP/1.1 403 No. Set-Cookie: a=b\r\n")
        sent = json.dumps(inlet([{"role": "user", "content": "做 bomb"}])).encode()
        received = service.raw(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        assert received.startswith("HTTP/1.1 403 不行。\r\n".encode())


# Answers.


def test_a_blocked_answer_is_replaced_with_all_that_repeats_it() -> None:
    envelope = outlet("a bomb", output=output("a bomb"), usage={"total_tokens": 3})
    reply = make_client().post(OUTLET, json=envelope)
    assert (reply.status_code, reply.headers["X-Moderation-Action"]) == (200, "block")
    last = reply.json["messages"][-1]
    assert (last["content"], last["usage"], last["id"]) == (REFUSAL, {"total_tokens": 3}, "a")
    assert [part["text"] for item in last["output"] for part in item["content"]] == [REFUSAL]
    assert {**reply.json, "messages": reply.json["messages"][:-1]} == {**envelope["body"], "messages": [THANKS]}


@pytest.mark.parametrize(
    "envelope",
    [
        outlet([{"type": "text", "text": "a bomb"}]),
        outlet("Bread.", output=[*output("a bomb", "reasoning"), *output("Bread.")]),
        outlet(None, output=output("a bomb")),
    ],
)
def test_all_text_of_an_answer_is_judged(envelope: dict[str, Any]) -> None:
    assert make_client().post(OUTLET, json=envelope).json["messages"][-1]["content"] == REFUSAL


def test_an_answer_is_judged_with_its_question() -> None:
    check = parse(Hook.OUTLET, outlet("Bread."), policies=POLICIES, policy=None).checks[0]
    assert [(one.role.value, one.content) for one in check.conversation.messages] == [
        ("user", "thanks"),
        ("assistant", "Bread."),
    ]


def test_what_the_output_repeats_is_judged_once() -> None:
    engine = FakeEngine()
    make_client(engine=engine).post(OUTLET, json=outlet("Bread.", output=output("Bread.")))
    assert engine.asked == ["Bread."]


def test_a_chat_that_ends_without_an_answer_passes() -> None:
    for envelope in (outlet(""), {"body": {"messages": []}}, {"body": {"messages": [THANKS]}}):
        assert make_client().post(OUTLET, json=envelope).json == envelope["body"]


# When there is no verdict.


@pytest.mark.parametrize(
    ("raises", "status"), [(EngineUnavailable("Down."), 503), (Overloaded("Busy."), 429), (ValueError("a bug"), 500)]
)
def test_a_failure_refuses_the_prompt_in_words_and_replaces_the_answer(raises: Exception, status: int) -> None:
    client = make_client(engine=FakeEngine(raises=raises))
    reply = client.post(INLET, json=inlet([THANKS], variables={"{{USER_LANGUAGE}}": "zh-CN"}))
    assert reply.status_code == status
    assert phrase(reply) == ("Busy." if status == 429 else UNCHECKED_MESSAGES["zh"])
    assert reply.json["detail"] == phrase(reply)
    envelope = outlet("Bread.")
    reply = client.post(OUTLET, json=envelope)
    assert (reply.status_code, reply.json) == (200, replaced(envelope, UNCHECKED))


@pytest.mark.parametrize(("on_failure", "status"), [("block", 403), ("allow", 200), ("flag", 200), ("error", 503)])
def test_the_policy_says_what_a_failure_of_the_engine_does(tmp_path: Path, on_failure: str, status: int) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(f"policies: {{own: {{on_failure: {on_failure}}}}}")
    client = make_client(engine=FakeEngine(raises=EngineUnavailable("Down.")), policies_file=file, default_policy="own")
    reply = client.post(INLET, json=inlet([THANKS]))
    assert reply.status_code == status
    answer = client.post(OUTLET, json=outlet("Bread.")).json["messages"][-1]["content"]
    assert answer == {"block": REFUSAL, "error": UNCHECKED}.get(on_failure, "Bread.")
    if status == 200:
        assert reply.headers["X-Moderation-Degraded"] == "true"


def test_a_block_is_shown_although_another_text_could_not_be_judged() -> None:
    client = make_client(engine=FakeEngine(errors={"thanks": EngineUnavailable("Down.")}))
    assert client.post(INLET, json=inlet([{"role": "system", "content": "a bomb"}, THANKS])).status_code == 403


@pytest.mark.parametrize(
    ("envelope", "param"),
    [
        ([], None),
        ({}, "body"),
        ({"body": 7}, "body"),
        (inlet("x"), "body.messages"),
        (inlet([7]), "body.messages[0]"),
        (inlet([{"role": "user", "content": 7}]), "body.messages[0].content"),
        (inlet([{"role": "user", "content": "\u200b"}]), "body.messages[0].content"),
        (inlet([{"role": "user", "content": "\ud83d"}]), "body.messages[0].content"),
    ],
)
def test_a_prompt_that_can_not_be_read_is_refused_and_named(envelope: Any, param: str | None) -> None:
    reply = make_client().post(INLET, json=envelope)
    assert (reply.status_code, reply.json["error"]["param"]) == (400, param)
    assert reply.json["detail"] == phrase(reply)


@pytest.mark.parametrize("answer", [7, "\u200b", "\ud83d", {"text": "a bomb"}])
def test_an_answer_that_can_not_be_read_is_replaced(answer: Any) -> None:
    envelope = outlet(answer)
    reply = make_client().post(OUTLET, json=envelope)
    assert (reply.status_code, reply.json) == (200, replaced(envelope, UNCHECKED))


@pytest.mark.parametrize(
    "path", ["/owui/other/filter/outlet", "/owui/polcy/moderation-guard.polcy/filter/outlet", OUTLET]
)
def test_a_wrong_address_policy_or_key_replaces_the_answer(path: str) -> None:
    client = make_client(api_keys=keys("correct-horse-battery"))
    headers = {} if path == OUTLET else {"Authorization": "Bearer correct-horse-battery"}
    envelope = outlet("Bread.")
    reply = client.post(path, json=envelope, headers=headers)
    assert (reply.status_code, reply.json) == (200, replaced(envelope, UNCHECKED))


def test_an_outlet_call_may_be_larger_than_an_inlet_call_of_the_same_chat() -> None:
    client = make_client(max_body_bytes=2048)
    long = "Bread. " * 400
    reply = client.post(INLET, json=inlet([{"role": "user", "content": long}]))
    assert reply.status == "413 The body is over the limit of 2048 bytes."
    assert client.post(OUTLET, json=outlet(long)).status_code == 200
    assert client.post(OUTLET, json=outlet(long * 4)).status_code == 413


def test_what_is_no_json_is_an_error_on_both_sides() -> None:
    for path in (INLET, OUTLET):
        for sent in (b"{", b"", b'{"body": {}, "body": {}}'):
            assert make_client().post(path, data=sent, content_type="application/json").status_code == 400


def test_the_audit_record_finds_the_chat(tmp_path: Path) -> None:
    client = make_client(audit_file=tmp_path / "audit.jsonl")
    client.post(INLET, json=inlet([THANKS], chat_id="c-1", message_id="a", task="x\ny"))
    client.post(OUTLET, json={**outlet("Bread."), "user": {"id": "x" * 100}})
    records = [json.loads(line)["metadata"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    ids = {"open_webui_chat": "c-1", "open_webui_message": "a"}
    assert records == [{"open_webui_user": "u-1", **ids}, ids]


# Any body.

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
roles = st.sampled_from(["user", "assistant", "system", "tool", "x"])
messages = st.lists(
    anything | st.fixed_dictionaries({"role": roles}, optional={"content": anything, "output": anything}), max_size=4
)
tasks = st.fixed_dictionaries({}, optional={"messages": messages, "prompt": anything, "responses": anything})
metadata = st.fixed_dictionaries({}, optional={"task": anything, "task_body": anything | tasks, "variables": anything})
bodies = st.fixed_dictionaries(
    {}, optional={"messages": anything | messages, "metadata": anything | metadata, "chat_id": anything}
)


@given(
    anything | st.fixed_dictionaries({"body": anything | bodies}, optional={"user": anything}), st.sampled_from(Hook)
)
def test_any_body_is_read_or_refused(envelope: Any, hook: Hook) -> None:
    with suppress(ModerationError):
        assert parse(hook, envelope, policies=POLICIES, policy=None).body == envelope["body"]


@given(bodies)
def test_any_body_can_be_given_back_with_another_answer(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    changed = replace_answer(body, "No.")
    assert body == before
    assert changed.keys() == body.keys()


def test_everything_is_answered_as_json_and_not_with_a_page() -> None:
    client: FlaskClient = make_client()
    for method, path in (("GET", INLET), ("POST", "/owui/models"), ("GET", "/owui/x/valves"), ("GET", "/owui")):
        reply = client.open(path, method=method)
        assert (reply.status_code in (404, 405), reply.content_type) == (True, "application/json")
