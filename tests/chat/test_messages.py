"""The guarded Messages as their clients see them: what passes, what is blocked, and what is refused by name."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from apps import Like, keys, make_client
from fake_llm import FakeLLM, http
from fake_messages import events_of, message, text, thinking, tool_use, whole_of
from fake_responses import stream_of
from fakes import FakeEngine

from moderation_service.config.setting import Secret, Url
from moderation_service.errors import EngineUnavailable

from .test_responses import events

SORRY = "Sorry, I can't help with that."
TOOLS = [{"name": "find", "input_schema": {"type": "object"}}]
BREAD = "Mix the flour with water. Then knead it for ten minutes. "
SEALED = base64.b64encode(bytes(range(128, 200))).decode()


class Door:
    """A client of the Messages in front of a fake model."""

    def __init__(self, llm: FakeLLM, **settings: Any) -> None:
        self.llm = llm
        self._client = make_client(chat_upstream=Url(llm.url), **settings)

    def ask(self, given: Any = "How do I bake bread?", *, headers: dict[str, str] | None = None, **body: Any) -> Any:
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
        whole = {"model": "llm-1", "max_tokens": 64, "messages": messages, **body}
        return self._client.post("/v1/messages", json=whole, headers=headers)

    def count(self, given: Any) -> Any:
        return self._client.post("/v1/messages/count_tokens", json={"model": "llm-1", "messages": given})

    def stream(self, given: Any = "How do I bake bread?", **body: Any) -> list[dict[str, Any]]:
        return events(self.ask(given, stream=True, **body))

    def sends(self, *blocks: dict[str, Any], size: int = 8, spelled: str | None = None) -> Door:
        """The model answers with these blocks."""
        self.llm.behave = lambda request: (
            stream_of(events_of(*blocks, size=size, spelled=spelled))
            if request.body.get("stream")
            else [whole_of(*blocks)]
        )
        return self


def text_of(found: list[dict[str, Any]]) -> str:
    return "".join(event["delta"].get("text", "") for event in found if event["type"] == "content_block_delta")


@pytest.fixture
def door(llm: FakeLLM) -> Door:
    return Door(llm).sends(text(BREAD))


# What passes.


def test_a_reply_goes_through_as_it_is(door: Door) -> None:
    reply = door.ask(system="Be kind.", tools=TOOLS, headers={"X-Request-Id": "r-1"})
    assert (reply.status_code, reply.json) == (200, message(text(BREAD)))
    assert (reply.headers["X-Moderation-Action"], reply.headers["request-id"]) == ("allow", "r-1")
    [asked] = door.llm.requests
    assert (asked.path, asked.headers["anthropic-version"]) == ("/v1/messages", "2023-06-01")
    assert (asked.body["system"], asked.body["tools"]) == ("Be kind.", TOOLS)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_goes_through_event_for_event(door: Door, size: int) -> None:
    calls = [tool_use({"q": "yeast"}), tool_use({}, name="t2")]
    blocks = [thinking("Bread, then."), text(BREAD), text("And salt. "), *calls]
    assert door.sends(*blocks, size=size).stream(tools=TOOLS) == events_of(*blocks, size=size)


def test_citations_pass_with_their_text(door: Door) -> None:
    quote = {"type": "char_location", "cited_text": "flour", "document_title": "Bread", "document_index": 0}
    found = events_of(text(BREAD))
    delta = {"type": "citations_delta", "citation": quote}
    found.insert(3, {"type": "content_block_delta", "index": 0, "delta": delta})
    door.llm.behave = lambda request: stream_of(found)
    assert door.stream() == found
    quote["cited_text"] = "a bomb"
    assert "bomb" not in json.dumps(door.stream())


def test_the_version_and_the_key_reach_the_model(llm: FakeLLM) -> None:
    door = Door(llm, chat_upstream_api_key=Secret("key-of-the-model")).sends(text(BREAD))
    door.ask(headers={"anthropic-version": "2026-10-21", "anthropic-beta": "interleaved-thinking-2025-05-14"})
    sent = door.llm.requests[0].headers
    assert (sent["x-api-key"], sent["authorization"]) == ("key-of-the-model", "Bearer key-of-the-model")
    assert (sent["anthropic-version"], sent["anthropic-beta"]) == ("2026-10-21", "interleaved-thinking-2025-05-14")


@pytest.mark.parametrize("header", [{"X-Api-Key": "key-of-anna"}, {"Authorization": "Bearer key-of-anna"}])
def test_a_key_of_ours_is_taken_from_both_headers_and_goes_nowhere(llm: FakeLLM, header: dict[str, str]) -> None:
    door = Door(llm, api_keys=keys("key-of-anna")).sends(text(BREAD))
    assert door.ask(headers=header).status_code == 200
    assert "key-of-anna" not in str(door.llm.requests[0].headers)
    assert door.ask().json == {
        "type": "error",
        "error": {"type": "authentication_error", "message": Like(".+")},
        "request_id": Like("[0-9a-f]+"),
    }


# What is blocked.


def test_a_blocked_stream_ends_as_a_refusal_with_details(door: Door) -> None:
    whole = stream_of(events_of(text(BREAD + "Now the bomb. More."), size=len(BREAD)))
    door.llm.behave = lambda request: [*whole[:4], 0.1, *whole[4:]]
    found = door.stream()
    assert text_of(found) == f"{BREAD}\n\n{SORRY}"
    assert [event["type"] for event in found[-4:]] == [
        "content_block_delta", "content_block_stop", "message_delta", "message_stop"
    ]  # fmt: skip
    stop = found[-2]["delta"]
    assert (stop["stop_reason"], stop["stop_sequence"]) == ("refusal", None)
    details = stop["stop_details"]
    assert {key: details[key] for key in ("type", "category", "explanation")} == {
        "type": "refusal", "category": "violent", "explanation": SORRY
    }  # fmt: skip
    assert details["x_moderation"]["action"] == "block"


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt_is_a_refusal_too(door: Door, stream: bool) -> None:
    if stream:
        found = door.stream("a bomb")
        assert [event["type"] for event in found] == [
            "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
            "message_stop",
        ]  # fmt: skip
        assert (text_of(found), found[-2]["delta"]["stop_reason"]) == (SORRY, "refusal")
        return
    reply = door.ask("a bomb").json
    assert (reply["content"], reply["stop_reason"]) == ([text(SORRY)], "refusal")
    assert reply["stop_details"]["explanation"] == SORRY


def test_a_blocked_prompt_can_be_an_error(llm: FakeLLM) -> None:
    reply = Door(llm, chat_blocked_prompt="error").ask("a bomb")
    assert (reply.status_code, reply.json["error"]) == (400, {"type": "invalid_request_error", "message": SORRY})


def test_a_half_shown_thought_is_closed_before_the_message(door: Door) -> None:
    thought = "First I think of the bread for a while. " * 3 + "Then of a bomb."
    found = door.sends(thinking(thought), text(BREAD)).stream()
    assert [event["index"] for event in found if event["type"] == "content_block_stop"] == list(
        range(sum(event["type"] == "content_block_start" for event in found))
    )
    assert text_of(found) == SORRY
    assert "bomb" not in json.dumps(found)


def test_nothing_of_a_call_is_shown_before_the_whole_reply_was_judged(door: Door) -> None:
    found = door.sends(tool_use({"q": "bread"}), text(BREAD + "Now the bomb.")).stream(tools=TOOLS)
    assert "tool_use" not in json.dumps(found)
    found = door.sends(text(BREAD), tool_use({}), spelled='{"q": "a \\u0062omb"}').stream(tools=TOOLS)
    assert "tool_use" not in json.dumps(found)
    assert text_of(found).endswith(SORRY)
    assert door.sends(tool_use({"q": "a bomb"})).ask(tools=TOOLS).json["content"] == [text(SORRY)]


# What fails.


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "a_new_kind", "text": "bomb"},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "web_search_tool_result", "x": "bomb"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "a_new_delta", "text": "bomb"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "bomb"}},
        {"type": "content_block_delta", "index": -1, "delta": {"type": "text_delta", "text": "bomb"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ["bomb"]}},
        {"choices": [{"index": 0, "delta": {"content": "bomb"}}]},
        {"type": "error", "error": {"type": "overloaded_error", "message": "a bomb"}},
    ],
)
def test_what_the_contract_does_not_know_is_an_error_event(door: Door, bad: dict[str, Any]) -> None:
    good = events_of(text(BREAD * 3), size=1000)
    door.llm.behave = lambda request: stream_of([*good[:3], bad, *good[3:]])
    shown = door.ask(stream=True).get_data(as_text=True)
    assert "bomb" not in shown
    assert '"type":"error"' in shown
    assert "message_stop" not in shown


def test_a_stream_that_breaks_off_is_no_end(door: Door) -> None:
    door.llm.behave = lambda request: stream_of(events_of(text(BREAD * 3))[:-1])
    shown = door.ask(stream=True).get_data(as_text=True)
    assert "message_stop" not in shown
    assert '"type":"error"' in shown


@pytest.mark.parametrize("document", [{"type": "message"}, {"choices": []}, {"type": "error", "error": {"a": "x"}}])
def test_what_is_no_reply_is_an_error(door: Door, document: Any) -> None:
    door.llm.behave = lambda request: [http(200, document)]
    assert (door.ask().status_code, door.ask().json["type"]) == (502, "error")


def test_refusals_of_the_server_have_this_contracts_shape(door: Door) -> None:
    refusal = {"error": {"message": "Too long.", "type": "BadRequestError", "code": 400}}
    door.llm.behave = lambda request: [http(400, refusal)]
    reply = door.ask(headers={"X-Request-Id": "r-1"})
    error = {"type": "invalid_request_error", "message": "Too long."}
    assert (reply.status_code, reply.json) == (400, {"type": "error", "error": error, "request_id": "r-1"})


def test_without_a_verdict_nothing_passes(llm: FakeLLM) -> None:
    engine = FakeEngine(raises=EngineUnavailable("down"))
    door = Door(llm, engine=engine, fallback=FakeEngine(raises=EngineUnavailable("down"))).sends(text(BREAD))
    reply = door.ask()
    assert (reply.status_code, reply.json["error"]["type"]) == (503, "overloaded_error")


# What is sent.


@pytest.mark.parametrize(
    "given",
    [
        [{"role": "user", "content": "How?"}],
        [{"role": "user", "content": [{"type": "text", "text": "How?", "cache_control": {"type": "ephemeral"}}]}],
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "How?"}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [text("Hello."), tool_use({})]},
         {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "Two."}, text("And?")]}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [tool_use({})]},
         {"role": "user", "content": [{"type": "tool_result", "content": [text("x")], "is_error": True}]}],
        [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "Take"}],
    ],
)  # fmt: skip
def test_every_shape_of_messages_that_clients_send_reaches_the_model(door: Door, given: Any) -> None:
    assert door.ask(given).status_code == 200
    assert door.llm.requests[0].body["messages"] == given


def test_the_users_words_are_judged_in_every_shape(door: Door) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "1"}
    for given in (
        [{"role": "user", "content": [text("a bomb")]}],
        [{"role": "user", "content": [text("a bomb"), result]}],
        [{"role": "user", "content": "a bomb"}, {"role": "assistant", "content": [tool_use({})]},
         {"role": "user", "content": [result]}],
        [{"role": "user", "content": [{**text("hi"), "a_new_field": "a bomb"}]}],
        [{"role": "user", "content": [{**text("hi"), "content": "a bomb"}]}],
        [{"role": "user", "content": [{**text("hi"), "source": "a bomb"}]}],
        [{"role": "user", "content": [{**text("hi"), "citations": [{"cited_text": "a bomb"}]}]}],
        [{"role": "user", "content": [{**text("hi"), "cache_control": {"type": "a bomb"}}]}],
        [{"role": "user", "content": [text("hi"), {**result, "tool_use_id": "a bomb"}]}],
        [{"role": "user", "content": [text("hi"), {**result, "content": [{**text("1"), "id": "a bomb"}]}]}],
        [{"role": "user", "content": "hi", "a_new_field": "a bomb"}],
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I will tell of a bomb."}],
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [thinking("I will tell of a bomb.")]}],
    ):  # fmt: skip
        assert door.ask(given).json["stop_reason"] == "refusal", given
    assert door.ask(a_new_field="a bomb").json["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"container": "c_1"}, "container"),
        ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers"),
        ({"prompt": "x"}, "prompt"),
        ({"Messages": []}, "messages"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]}, "messages[0].content[0].text"),
        ({"messages": "x"}, "messages"),
    ],
)
def test_what_can_not_be_judged_is_refused_by_name(door: Door, body: dict[str, Any], named: str) -> None:
    reply = door.ask(**body)
    assert reply.status_code == 400
    assert f"`{named}" in reply.json["error"]["message"]
    assert door.llm.requests == []


def test_a_thread_is_answered_so_that_the_sdks_send_everything(door: Door) -> None:
    reply = door.ask(thread={"type": "create"})
    assert (reply.status_code, reply.json["error"]["details"]) == (400, {"error_code": "thread_unsupported_request"})


def test_results_of_tools_are_judged_where_the_operator_says_so(llm: FakeLLM) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text("a bomb")]}
    given = [{"role": "user", "content": "Hi"}, {"role": "user", "content": [result]}]
    assert Door(llm).sends(text(BREAD)).ask(given).json["stop_reason"] == "end_turn"
    assert Door(llm, chat_judge_tool_results=True).ask(given).json["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    "source",
    [
        {"type": "text", "media_type": "text/plain", "data": "a bomb"},
        {"type": "content", "content": [{"type": "text", "text": "a bomb"}]},
        {"type": "content", "content": "a bomb"},
    ],
)
def test_a_document_that_is_text_is_judged(llm: FakeLLM, source: dict[str, Any]) -> None:
    door = Door(llm, chat_allow_media=True).sends(text(BREAD))
    document = {"type": "document", "source": source, "citations": {"enabled": True}}
    assert door.ask([{"role": "user", "content": [text("hi"), document]}]).json["stop_reason"] == "refusal"
    picture = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    assert door.ask([{"role": "user", "content": [text("hi"), picture]}]).json["stop_reason"] == "end_turn"


# Sealed data.


def test_a_signature_comes_back_only_with_our_mark(door: Door) -> None:
    door.sends(thinking("Hm.", signature=SEALED), text(BREAD))
    deltas = [event["delta"] for event in door.stream() if event["type"] == "content_block_delta"]
    [signed] = [delta["signature"] for delta in deltas if "signature" in delta]
    assert door.ask().json["content"][0]["signature"] == signed == Like(f"v1\\.[0-9a-f]+\\.{SEALED.replace('+', '.')}")
    for signature, kept in ((signed, SEALED), (SEALED, None), (signed + "x", None)):
        answer = {"role": "assistant", "content": [thinking("Hm.", signature=signature), text("Yes.")]}
        door.ask([{"role": "user", "content": "Hi"}, answer, {"role": "user", "content": "?"}])
        sent = door.llm.requests[-1].body["messages"][1]["content"]
        assert [block.get("signature") for block in sent] == ([kept, None] if kept else [None])


@pytest.mark.parametrize("sealed", ["a bomb", base64.b64encode(zlib.compress(b"this is a bomb")).decode()])
def test_sealed_data_that_can_be_read_is_judged(door: Door, sealed: str) -> None:
    for block in (thinking("Hm.", signature=sealed), {"type": "redacted_thinking", "data": sealed}):
        found = door.sends(block, text(BREAD)).stream()
        assert sealed not in json.dumps(found)
        assert found[-2]["delta"]["stop_reason"] == "refusal"


def test_a_short_signature_does_not_hold_the_answer_back(door: Door) -> None:
    whole = stream_of(events_of(thinking("Hm.", signature="3f2a7c1e9b"), text(BREAD * 4 + "A bomb.")))
    door.llm.behave = lambda request: [*whole[:24], 0.1, *whole[24:]]
    assert text_of(door.stream()).startswith("Mix")


# Counting.


def test_tokens_are_counted_by_the_models_server(door: Door) -> None:
    door.llm.behave = lambda request: [http(200, {"input_tokens": 12, "note": "a bomb"})]
    assert door.count([{"role": "user", "content": "Hi"}]).json == {"input_tokens": 12}
    assert door.llm.requests[0].path == "/v1/messages/count_tokens"
    door.llm.behave = lambda request: [http(404, {"error": "x"})]
    assert (door.count([]).status_code, door.count([]).json["error"]["type"]) == (404, "not_found_error")
    door.llm.behave = lambda request: [http(400, {"error": {"message": "Too long."}})]
    assert (door.count([]).status_code, door.count([]).json["error"]["message"]) == (400, "Too long.")
    door.llm.behave = lambda request: [http(200, {"input_tokens": "a bomb"})]
    assert (door.count([]).status_code, "bomb" in door.count([]).get_data(as_text=True)) == (502, False)
    assert door.count([{"role": "user", "content": [{"type": "image"}]}]).status_code == 400
