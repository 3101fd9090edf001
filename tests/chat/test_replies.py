"""The guarded chat as its clients see it: prompts and answers that pass, and those that are blocked."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from apps import decision, keys
from fake_llm import USAGE, FakeLLM, Step, chunk, fake_llm, http, says, sse, streamed, whole
from fakes import FakeEngine

from moderation_service.config.setting import Secret
from moderation_service.errors import EngineUnavailable
from moderation_service.upstream.http_reply import ReplyReader
from moderation_service.upstream.sse import EventReader

from .conftest import HELLO, Chat, events, finish_of, text_of

RECORDINGS = Path(__file__).parents[1] / "recordings"
SORRY = "Sorry, I can't help with that."
LONG = ["Bread needs flour and water. ", "Then comes some salt. ", "Now knead it all for ten minutes. "] * 4


def gives(*steps: Step) -> Any:
    return lambda request: steps


def block(target: str, *categories: str) -> dict[str, object]:
    return decision("unsafe", *categories, target=target, refusal=None if target == "prompt" else False)


# What passes.


def test_invisible_letters_of_an_answer_are_judged(llm: FakeLLM) -> None:
    tags, engine = "".join(chr(0xE0000 + ord(letter)) for letter in "bomb"), FakeEngine()
    llm.behave = says(tags)
    assert Chat(llm, engine=engine).ask().status_code == 200
    assert engine.asked[-1] == tags


def test_an_answer_goes_through_as_it_is(chat: Chat) -> None:
    reply = chat.ask(temperature=0.5)
    expected = {
        "id": "chatcmpl-llm-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "llm-1",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Mix flour and water.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
    assert (reply.status_code, reply.json) == (200, expected)
    assert reply.headers["X-Moderation-Action"] == "allow"
    assert [one.body for one in chat.llm.requests] == [{"model": "llm-1", "messages": HELLO, "temperature": 0.5}]


def test_a_streamed_answer_goes_through_as_it_is(chat: Chat) -> None:
    usage = {"id": "chatcmpl-llm-1", "choices": [], "usage": USAGE}
    found = chat.stream(stream_options={"include_usage": True})
    assert text_of(found) == "Mix flour and water."
    assert finish_of(found) == ["stop"]
    assert found[-1] == "[DONE]"
    assert {key: found[-2][key] for key in usage} == usage


def test_an_answer_is_judged_with_its_question_as_an_answer() -> None:
    engine = FakeEngine()
    with fake_llm(says("Mix it.")) as llm:
        Chat(llm, engine=engine).ask()
    assert engine.asked == [HELLO[0]["content"], "Mix it."]


def test_fields_nobody_knows_pass_in_both_directions(llm: FakeLLM) -> None:
    llm.behave = gives(whole("Mix it.", x_timings={"ms": 1.5}, service_tier="default"))
    reply = Chat(llm).ask(chat_template_kwargs={"enable_thinking": False})
    assert (reply.json["x_timings"], reply.json["service_tier"]) == ({"ms": 1.5}, "default")
    assert llm.requests[0].body["chat_template_kwargs"] == {"enable_thinking": False}


def test_tool_calls_pass_whole_and_streamed(llm: FakeLLM) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"q": "bread"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    llm.behave = gives(whole(message, finish="tool_calls"))
    assert Chat(llm).ask().json["choices"][0]["message"] == message
    parts = [chunk({"tool_calls": [{"index": 0, **call}]}), chunk({}, finish="tool_calls")]
    llm.behave = gives(*sse(*parts))
    assert Chat(llm).stream() == [*parts, "[DONE]"]


def test_a_stream_is_shown_as_it_is_cleared(llm: FakeLLM) -> None:
    llm.behave = lambda request: streamed(LONG)
    assert text_of(Chat(llm).stream()) == "".join(LONG)


@pytest.mark.parametrize(
    "text", ["你好。面粉和水。", "مرحبا؟ نعم.", "🍞🧈" * 200, "\u200b", "\n\n", "x" * 100_000, "a"]
)
def test_text_of_every_kind_passes_unchanged(llm: FakeLLM, text: str) -> None:
    llm.behave = lambda request: streamed(list(text) if len(text) < 1000 else [text])
    assert text_of(Chat(llm).stream()) == text


def test_the_callers_request_id_reaches_the_model(chat: Chat) -> None:
    chat.ask(headers={"X-Request-Id": "trace-7"})
    assert chat.llm.requests[0].headers["x-request-id"] == "trace-7"


@pytest.mark.parametrize("server", ["vllm", "llamacpp"])
def test_a_stream_of_a_real_server_comes_through_event_for_event(llm: FakeLLM, server: str) -> None:
    recorded = (RECORDINGS / server / "chat_stream.http").read_bytes()
    reader = ReplyReader()
    reader.begin(max_body_bytes=100_000)
    reader.feed(recorded)
    sent = EventReader(max_bytes=100_000).feed(reader.take())
    llm.behave = gives(recorded)
    found = Chat(llm).stream(logprobs=True, stream_options={"include_usage": True})
    assert found == [*[json.loads(event.data) for event in sent[:-1]], "[DONE]"]
    assert any(choice.get("logprobs") for one in found[:-1] for choice in one["choices"])


# Prompts that are blocked.


def test_a_blocked_prompt_is_answered_with_the_policys_message(chat: Chat) -> None:
    reply = chat.ask("a bomb", n=2)
    assert reply.status_code == 200
    assert reply.headers["X-Moderation-Action"] == "block"
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": SORRY, "refusal": None},
            "logprobs": None,
            "finish_reason": "content_filter",
            "x_moderation": block("prompt", "violent"),
        }
        for index in (0, 1)
    ]
    assert reply.json["choices"] == choices
    assert (reply.json["model"], reply.json["object"]) == ("llm-1", "chat.completion")


def test_a_model_of_half_a_character_is_named_in_the_reply_as_the_caller_spelled_it(chat: Chat) -> None:
    reply = chat.ask("a bomb", model="\ud800")
    assert (reply.status_code, reply.json["model"]) == (200, "\ud800")
    assert reply.json["choices"][0]["finish_reason"] == "content_filter"


def test_a_blocked_prompt_is_answered_in_a_stream_too(chat: Chat) -> None:
    found = chat.stream("a bomb")
    assert (text_of(found), finish_of(found), found[-1]) == (SORRY, ["content_filter"], "[DONE]")


def test_the_message_is_in_the_users_language(chat: Chat) -> None:
    reply = chat.ask("a bomb", headers={"Accept-Language": "zh-CN"})
    assert reply.json["choices"][0]["message"]["content"] == "抱歉，我无法协助处理此请求。"


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt_can_be_an_error(llm: FakeLLM, stream: bool) -> None:
    reply = Chat(llm, chat_blocked_prompt="error").ask("a bomb", stream=stream)
    error = {"message": SORRY, "type": "invalid_request_error", "param": "messages", "code": "content_filter"}
    assert (reply.status_code, reply.json) == (400, {"error": error})


def test_nothing_is_shown_before_the_prompt_has_passed(llm: FakeLLM) -> None:
    llm.behave = lambda request: streamed(["Quick answer. "] * 20)
    found = Chat(llm).stream("a bomb")
    assert "Quick" not in str(found)


def test_a_blocked_prompt_breaks_the_call_to_the_model_off(llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(chunk({"content": "x"}), threading.Event())
    Chat(llm).stream("a bomb")
    assert llm.hung_up.wait(30)


def test_judged_first_a_blocked_prompt_never_reaches_the_model(llm: FakeLLM) -> None:
    chat = Chat(llm, chat_prompt_first=True)
    assert text_of(chat.stream("a bomb")) == SORRY
    assert chat.ask("a bomb").json["choices"][0]["finish_reason"] == "content_filter"
    assert llm.requests == []
    assert text_of(chat.stream()) == "Mix flour and water."


# Answers that are blocked.


def test_a_blocked_answer_is_replaced(llm: FakeLLM) -> None:
    llm.behave = gives(whole("Take the bomb.", citations=["the bomb"]))
    reply = Chat(llm).ask()
    assert reply.json["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": SORRY, "refusal": None},
            "logprobs": None,
            "finish_reason": "content_filter",
            "x_moderation": block("response", "violent"),
        }
    ]
    assert reply.headers["X-Moderation-Action"] == "block"
    assert reply.json["usage"] == USAGE
    assert "the bomb" not in reply.get_data(as_text=True)


def test_one_of_several_answers_is_replaced(llm: FakeLLM) -> None:
    llm.behave = gives(whole("Some bread.", "A bomb.", "Some butter."))
    said = [one["message"]["content"] for one in Chat(llm).ask(n=3).json["choices"]]
    assert said == ["Some bread.", SORRY, "Some butter."]


def test_a_blocked_stream_ends_with_the_message_and_breaks_the_call_off(llm: FakeLLM) -> None:
    gate = threading.Event()
    good = [chunk({"content": text}) for text in LONG]
    llm.behave = lambda request: sse(*good, gate, chunk({"content": "And a bomb. " * 20}), threading.Event())
    reply = Chat(llm).ask(stream=True)
    assert LONG[0].encode() in next(reply.response)
    gate.set()
    found = events(reply)
    assert text_of(found).endswith("\n\n" + SORRY)
    assert "bomb" not in str(found)
    assert (finish_of(found), found[-1]) == (["content_filter"], "[DONE]")
    assert llm.hung_up.wait(30)


def test_one_of_several_streamed_answers_is_blocked(llm: FakeLLM) -> None:
    parts = [chunk({"content": text}, index=index) for text in LONG for index in (0, 1)]
    bad = chunk({"content": "The bomb. "}, index=1)
    ends = [chunk({}, index=index, finish="stop") for index in (0, 1)]
    llm.behave = lambda request: sse(*parts, bad, *ends)
    found = Chat(llm).stream(n=2)
    assert (text_of(found, index=0), finish_of(found, index=0)) == ("".join(LONG), ["stop"])
    assert text_of(found, index=1).endswith(SORRY)
    assert finish_of(found, index=1) == ["content_filter"]


def test_shown_then_cut_when_the_policy_says_so(llm: FakeLLM, tmp_path: Any) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies: {fast: {streaming: show-then-cut}}")
    llm.behave = lambda request: streamed(["A bomb. "])
    found = Chat(llm, policies_file=file).stream()
    assert text_of(found) == SORRY
    chat = Chat(llm, policies_file=file, policy_choice="any")
    found = events(chat.ask(stream=True, headers={"X-Moderation-Policy": "fast"}))
    assert text_of(found) in ("A bomb. \n\n" + SORRY, SORRY)
    assert finish_of(found) == ["content_filter"]


def test_a_policy_is_chosen_by_header(llm: FakeLLM) -> None:
    llm.behave = says("An insult.")
    assert Chat(llm).ask().json["choices"][0]["finish_reason"] == "stop"
    reply = Chat(llm).ask(headers={"X-Moderation-Policy": "strict"})
    assert reply.json["choices"][0]["finish_reason"] == "content_filter"


# The guard fails.


@pytest.mark.parametrize("stream", [False, True])
def test_without_a_guard_there_is_no_answer(llm: FakeLLM, stream: bool) -> None:
    reply = Chat(llm, engine=FakeEngine(raises=EngineUnavailable("down"))).ask(stream=stream)
    assert (reply.status_code, reply.json["error"]["code"]) == (503, "engine_unavailable")


def test_a_guard_that_fails_on_the_way_ends_the_stream_with_an_error(llm: FakeLLM) -> None:
    llm.behave = lambda request: streamed([*LONG, "Strange. "])
    found = Chat(llm, engine=FakeEngine(errors={"strange": EngineUnavailable("down")})).stream()
    assert found[-1]["error"]["code"] == "engine_unavailable"
    assert "Strange" not in text_of(found)
    assert finish_of(found) == []


@pytest.mark.parametrize(("mode", "finish"), [("allow", "stop"), ("flag", "stop"), ("block", "content_filter")])
@pytest.mark.parametrize("stream", [False, True])
def test_the_policys_fail_mode_decides(llm: FakeLLM, tmp_path: Any, mode: str, finish: str, stream: bool) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(f"policies: {{balanced: {{on_failure: {{prompt: allow, response: {mode}}}}}}}")
    reply = Chat(llm, policies_file=file, engine=FakeEngine(raises=EngineUnavailable("down"))).ask(stream=stream)
    if stream:
        assert finish_of(events(reply)) == [finish]
    else:
        assert reply.json["choices"][0]["finish_reason"] == finish
        assert reply.headers["X-Moderation-Degraded"] == "true"


def test_the_fallback_answers_for_the_engine(llm: FakeLLM) -> None:
    engine = FakeEngine(raises=EngineUnavailable("down"))
    reply = Chat(llm, engine=engine, fallback=FakeEngine(name="lite")).ask()
    assert (reply.status_code, reply.headers["X-Moderation-Degraded"]) == (200, "true")


# OpenAI's moderation object.


@pytest.mark.parametrize("stream", [False, True])
def test_the_moderation_object_is_told_when_asked_for(llm: FakeLLM, stream: bool) -> None:
    reply = Chat(llm).ask(stream=stream, moderation={"model": "guard"})
    if stream:
        *_, carrier, end = events(reply)
        assert (carrier["choices"], carrier["object"], end) == ([], "chat.completion.chunk", "[DONE]")
    else:
        carrier = reply.json
    for side, target in (("input", "prompt"), ("output", "response")):
        found = carrier["moderation"][side]
        assert (found["type"], found["model"]) == ("moderation_results", "fake-1")
        (result,) = found["results"]
        assert (result["type"], result["flagged"]) == ("moderation_result", False)
        assert result["x_moderation"]["target"] == target


def test_a_blocked_prompt_has_no_output_to_tell_of(chat: Chat) -> None:
    found = chat.ask("a bomb", moderation={"model": "guard"}).json["moderation"]
    assert found["input"]["results"][0]["flagged"]
    assert found["output"]["results"] == []
    *_, carrier, _ = chat.stream("a bomb", moderation={"model": "guard"})
    assert carrier["moderation"]["input"]["results"][0]["flagged"]


def test_what_was_not_judged_is_told_as_an_error(llm: FakeLLM, tmp_path: Any) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies: {balanced: {on_failure: allow}}")
    chat = Chat(llm, policies_file=file, engine=FakeEngine(raises=EngineUnavailable("down")))
    moderation = chat.ask(moderation={"model": "guard"}).json["moderation"]
    assert [moderation[side]["type"] for side in ("input", "output")] == ["error", "error"]


# A choice of policy.


def test_a_milder_policy_is_refused_with_the_reason(llm: FakeLLM) -> None:
    reply = Chat(llm).ask(headers={"X-Moderation-Policy": "loose"})
    message = (
        "Only a policy that is as strict as `balanced` may be used here. "
        "For a prompt, `loose` allows controversial text, which the default policy flags."
    )
    error = {"message": message, "type": "invalid_request_error", "param": "X-Moderation-Policy", "code": "forbidden"}
    assert (reply.status_code, reply.json, llm.requests) == (403, {"error": error}, [])
    assert Chat(llm, policy_choice="any").ask(headers={"X-Moderation-Policy": "loose"}).status_code == 200
    assert Chat(llm, default_policy="loose").ask(headers={"X-Moderation-Policy": "balanced"}).status_code == 200


def test_doors_where_one_only_asks_take_any_policy(chat: Chat) -> None:
    reply = chat.ask("An insult.", model="policy:loose")
    assert reply.json["x_moderation"]["action"] == "allow"


# Answers that are to be JSON.

JSON = {"type": "json_schema", "json_schema": {"name": "loaf", "schema": {"type": "object"}}}


def test_where_json_was_asked_for_the_message_is_in_the_refusal_too(llm: FakeLLM) -> None:
    blocked = {"role": "assistant", "content": SORRY, "refusal": SORRY}
    assert Chat(llm).ask("a bomb", response_format=JSON).json["choices"][0]["message"] == blocked
    found = Chat(llm).stream("a bomb", response_format=JSON)
    assert (text_of(found), text_of(found, key="refusal")) == (SORRY, SORRY)
    llm.behave = lambda request: streamed(["A bomb."]) if request.body.get("stream") else [whole("A bomb.")]
    assert Chat(llm).ask(response_format=JSON).json["choices"][0]["message"] == blocked
    found = Chat(llm).stream(response_format=JSON)
    assert (text_of(found), text_of(found, key="refusal")) == (SORRY, SORRY)
    assert text_of(Chat(llm).stream(response_format={"type": "text"}), key="refusal") == ""


def test_a_long_history_is_no_reason_to_refuse(llm: FakeLLM) -> None:
    history = [{"role": role, "content": "Hello."} for role in ("user", "assistant")] * 2000
    reply = Chat(llm).ask(messages=[*history, *HELLO])
    assert reply.status_code == 200
    assert len(llm.requests[0].body["messages"]) == 4001
    reply = Chat(llm, max_body_bytes=100_000).ask(messages=[*history, *HELLO])
    assert (reply.status_code, reply.json["error"]["code"]) == (413, "too_large")


# Who is asked.


@pytest.mark.parametrize("model", ["guard-qwen", "guard-llamaguard:strict", "policy:strict", "fake-1"])
def test_names_of_the_guard_still_mean_the_guard(chat: Chat, model: str) -> None:
    reply = chat.ask("a bomb", model=model)
    assert reply.json["choices"][0]["finish_reason"] == "stop"
    assert chat.llm.requests == []


@pytest.mark.parametrize("model", ["llm-1", "policy", "guard", "qwen3:8b"])
def test_every_other_name_means_the_chat_model(chat: Chat, model: str) -> None:
    assert chat.ask(model=model).status_code == 200
    assert [one.body["model"] for one in chat.llm.requests] == [model]


def test_the_models_of_both_are_listed(chat: Chat) -> None:
    names = [one["id"] for one in chat.get("/v1/models").json["data"]]
    assert names[:3] == ["llm-1", "fake-1", "guard-qwen"]


@pytest.mark.parametrize(
    "data", [http(500, {}), http(200, b"<html>"), http(200, {"data": 1}), b"", http(200, {"data": [1, {}]})]
)
def test_without_the_models_of_the_server_there_are_ours(llm: FakeLLM, data: bytes) -> None:
    llm.behave = gives(data)
    assert Chat(llm).get("/v1/models").json["data"][0]["id"] == "fake-1"


# Keys.


def authorization(llm: FakeLLM) -> list[str | None]:
    return [one.headers.get("authorization") for one in llm.requests]


def test_the_callers_key_stays_here(chat: Chat) -> None:
    chat.ask(headers={"Authorization": "Bearer callers-key"})
    assert authorization(chat.llm) == [None]


def test_the_servers_key_is_the_operators(llm: FakeLLM) -> None:
    Chat(llm, chat_upstream_api_key=Secret("llm-key")).ask(headers={"Authorization": "Bearer callers-key"})
    assert authorization(llm) == ["Bearer llm-key"]


@pytest.mark.parametrize("told", ["key-of-this-service", "hash:sha256:" + sha256(b"key-of-this-service").hexdigest()])
@pytest.mark.parametrize(
    "sent",
    [
        "key-of-this-service",
        "Token key-of-this-service",
        "Bearer key-of-this-service.1",
        "Bearer key-of-this-service extra",
        "Bearer callers-key, key-of-this-service",
        'Digest key="key-of-this-service"',
        "Basic " + b64encode(b"user:key-of-this-service").decode(),
        "Basic " + b64encode(b"key-of-this-service:").decode(),
        "Bearer 1-key-of-another-1",
        "Bearer " + "x" * 20_000,
    ],
)
def test_a_value_that_holds_a_key_of_ours_is_never_passed_on(llm: FakeLLM, sent: str, told: str) -> None:
    chat = Chat(llm, chat_forward_authorization=True, api_keys=keys(told, "key-of-another"))
    headers = {"X-API-Key": "key-of-another"}
    if " " in sent:
        assert chat.ask(headers={**headers, "Authorization": "Basic " + sent}).status_code == 200
    reply = chat.ask(headers={**headers, "Authorization": sent, "X-Request-Id": "id-key-of-this-service"[:64]})
    assert reply.status_code in (200, 401)
    assert set(authorization(llm)) == {None}
    assert not any("key-of-this-service" in str(one.headers) for one in llm.requests)


def test_the_callers_key_is_passed_on_if_the_operator_wants_it(llm: FakeLLM) -> None:
    ours = "key-of-this-service"
    chat = Chat(llm, chat_forward_authorization=True, api_keys=keys(ours))
    assert chat.ask(headers={"Authorization": "Bearer callers-key", "X-API-Key": ours}).status_code == 200
    assert chat.ask(headers={"Authorization": f"Bearer {ours}"}).status_code == 200
    assert chat.ask(headers={"Authorization": "Bearer callers-key"}).status_code == 401
    assert authorization(llm) == ["Bearer callers-key", None]
