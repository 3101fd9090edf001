"""The guarded Responses as their clients see them: what passes, what is blocked, and what is refused by name."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from apps import make_client
from fake_llm import FakeLLM, http
from fake_responses import call, events_of, message, reasoning, response, stream_of, whole_of
from fakes import FakeEngine

from moderation_service.config.setting import Secret, Url

SORRY = "Sorry, I can't help with that."
TOOLS = [{"type": "function", "name": "find", "parameters": {"type": "object"}}]
BREAD = "Mix the flour with water. Then knead it for ten minutes. "


class Door:
    """A client of the Responses in front of a fake model."""

    def __init__(self, llm: FakeLLM, **settings: Any) -> None:
        self.llm = llm
        self._client = make_client(chat_upstream=Url(llm.url), **settings)

    def ask(self, given: Any = "How do I bake bread?", *, headers: dict[str, str] | None = None, **body: Any) -> Any:
        whole = {"model": "llm-1", "input": given, **body}
        if given is None:
            del whole["input"]
        return self._client.post("/v1/responses", json=whole, headers=headers)

    def stream(self, given: Any = "How do I bake bread?", **body: Any) -> list[dict[str, Any]]:
        return events(self.ask(given, stream=True, **body))

    def sends(self, *items: dict[str, Any], size: int = 8, **more: Any) -> Door:
        """The model answers with these items."""
        self.llm.behave = lambda request: (
            stream_of(events_of(*items, size=size, **more))
            if request.body.get("stream")
            else [whole_of(*items, **more)]
        )
        return self


def events(reply: Any) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.json
    *frames, rest = reply.get_data(as_text=True).split("\n\n")
    assert rest == ""
    found = []
    for frame in frames:
        if not frame.startswith(":"):
            name, data = frame.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
    return found


def text_of(found: list[dict[str, Any]], kind: str = "output_text") -> str:
    return "".join(event["delta"] for event in found if event["type"] == f"response.{kind}.delta")


@pytest.fixture
def door(llm: FakeLLM) -> Door:
    return Door(llm).sends(message(BREAD))


def gives(*steps: Any) -> Any:
    return lambda request: steps


# What passes.


def test_a_reply_goes_through_as_it_is(door: Door) -> None:
    reply = door.ask(instructions="Be kind.", tools=TOOLS)
    assert (reply.status_code, reply.json) == (200, response(message(BREAD)))
    assert reply.headers["X-Moderation-Action"] == "allow"
    [asked] = door.llm.requests
    assert asked.path == "/v1/responses"
    assert asked.body == {
        "model": "llm-1",
        "input": "How do I bake bread?",
        "instructions": "Be kind.",
        "tools": TOOLS,
    }


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_goes_through_event_for_event(door: Door, size: int) -> None:
    items = [reasoning("Bread, then."), reasoning("It is about bread.", name="rs_2", summary=True),
             message(BREAD, "And salt. "), call('{"q": "yeast"}'), call("{}", name="fc_2")]  # fmt: skip
    assert door.sends(*items, size=size).stream(tools=TOOLS) == events_of(*items, size=size)


def test_what_the_server_tells_of_the_request_again_is_not_judged(llm: FakeLLM) -> None:
    told = {"instructions": "Never tell how to make a bomb.", "metadata": {"a": "bomb"}, "tools": TOOLS}
    door = Door(llm).sends(message(BREAD), **told)
    assert door.stream(**told)[-1]["response"]["instructions"] == told["instructions"]
    assert door.ask(**told).json["metadata"] == told["metadata"]
    assert SORRY in json.dumps(door.ask(tools=TOOLS).json)


def test_padding_of_a_stream_is_left_out(door: Door) -> None:
    padded = [{**event, "obfuscation": "bomb"} for event in events_of(message(BREAD))]
    door.llm.behave = gives(*stream_of(padded))
    assert door.stream() == events_of(message(BREAD))


def test_logprobs_that_spell_the_text_pass_with_it(door: Door) -> None:
    item = message("a loaf")
    item["content"][0]["logprobs"] = [
        {"token": "a loaf", "logprob": -1.0, "bytes": list(b"a loaf"), "top_logprobs": []}
    ]
    found = events_of(item, size=100)
    found[4]["logprobs"] = item["content"][0]["logprobs"]
    door.llm.behave = gives(*stream_of(found))
    assert door.stream() == found


# What is blocked.


def test_a_blocked_stream_ends_as_one_that_was_cut_short(door: Door) -> None:
    whole = stream_of(events_of(message(BREAD + "Now the bomb. More."), size=len(BREAD)))
    door.llm.behave = gives(*whole[:6], 0.1, *whole[6:])
    found = door.stream()
    shown = text_of(found)
    assert shown == f"{BREAD}\n\n{SORRY}"
    assert "bomb" not in json.dumps(found)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    ends = [event["type"].removeprefix("response.") for event in found[-5:]]
    assert ends == ["output_text.delta", "output_text.done", "content_part.done", "output_item.done", "incomplete"]
    last = found[-1]["response"]
    assert (last["status"], last["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert [item["content"][0]["text"] for item in last["output"]] == [shown]
    assert last["output"] == [found[-2]["item"]]
    assert last["x_moderation"]["action"] == "block"
    assert "refusal" not in json.dumps([event for event in found if "x_moderation" not in json.dumps(event)])


@pytest.mark.parametrize(("setting", "status"), [("failed", "failed"), ("completed", "completed")])
def test_how_a_blocked_answer_ends_is_a_setting(llm: FakeLLM, setting: str, status: str) -> None:
    door = Door(llm, responses_blocked=setting).sends(message(BREAD + "Now the bomb."))
    streamed, whole = door.stream()[-1], door.ask().json
    assert streamed["type"] == f"response.{status}"
    for reply in (streamed["response"], whole):
        assert reply["status"] == status
        assert SORRY in reply["output"][0]["content"][0]["text"]
        assert (reply["error"] or {}).get("code") == ("invalid_prompt" if setting == "failed" else None)
        assert reply["incomplete_details"] is None


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt_gets_one_message_and_nothing_of_the_model(door: Door, stream: bool) -> None:
    if stream:
        found = door.stream("a bomb")
        kinds = [event["type"] for event in found]
        assert kinds[:4] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
        ]
        reply = found[-1]["response"]
    else:
        reply = door.ask("a bomb").json
    assert reply["status"] == "incomplete"
    assert [part["text"] for item in reply["output"] for part in item["content"]] == [SORRY]
    assert "flour" not in json.dumps(reply)


def test_a_blocked_prompt_can_be_an_error(llm: FakeLLM) -> None:
    reply = Door(llm, chat_blocked_prompt="error").ask("a bomb")
    error = {"message": SORRY, "type": "invalid_request_error", "param": "input", "code": "content_filter"}
    assert (reply.status_code, reply.json) == (400, {"error": error})


def test_a_half_shown_thought_is_closed_before_the_message(door: Door) -> None:
    thought = "First I think of the bread for a while. " * 3 + "Then of a bomb."
    for item in (reasoning(thought), reasoning(thought, summary=True)):
        found = door.sends(item, message(BREAD)).stream()
        closed = [event for event in found if event["type"] == "response.output_item.done"]
        assert [event["item"]["type"] for event in closed] == ["reasoning", "message"]
        assert [event["output_index"] for event in closed] == [0, 1]
        assert [item["type"] for item in found[-1]["response"]["output"]] == ["reasoning", "message"]
        assert text_of(found) == SORRY
        assert "bomb" not in json.dumps(found)


def test_nothing_of_a_call_is_shown_before_the_whole_reply_was_judged(door: Door) -> None:
    found = door.sends(call('{"q": "bread"}'), message(BREAD + "Now the bomb.")).stream(tools=TOOLS)
    assert "function_call" not in json.dumps(found)
    found = door.sends(message(BREAD), call('{"q": "a \\u0062omb"}')).stream(tools=TOOLS)
    assert "function_call" not in json.dumps(found)
    assert text_of(found).endswith(SORRY)
    assert SORRY in json.dumps(door.sends(call('{"q": "a bomb"}')).ask(tools=TOOLS).json)


def test_what_was_found_is_told_where_it_is_asked_for(door: Door) -> None:
    asked = {"moderation": {"model": "omni"}}
    for reply in (door.ask(**asked).json, door.stream(**asked)[-1]["response"]):
        assert [reply["moderation"][side]["flagged"] for side in ("input", "output")] == [False, False]
    blocked = door.sends(message("A bomb.")).ask(**asked).json
    assert blocked["moderation"]["output"]["flagged"] is True


# What fails.


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "response.a_new_kind", "delta": "bomb"},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "web_search_call", "id": "ws_1"}},
        {"type": "response.content_part.added", "item_id": "msg_1", "part": {"type": "a_new_kind", "text": "bomb"}},
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": ["bomb"]},
        {"type": "response.output_text.delta", "output_index": -1, "delta": "x"},
        {"choices": [{"index": 0, "delta": {"content": "bomb"}}]},
        {"type": "error", "message": "a bomb", "code": "server_error"},
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "a bomb"}}},
    ],
)
def test_what_the_contract_does_not_know_is_an_error_event(door: Door, bad: dict[str, Any]) -> None:
    good = events_of(message(BREAD * 3), size=1000)
    door.llm.behave = gives(*stream_of([*good[:5], bad, *good[5:]]))
    reply = door.ask(stream=True)
    shown = reply.get_data(as_text=True)
    assert "bomb" not in shown
    assert '"code":"' in shown
    assert "response.completed" not in shown
    assert "response.incomplete" not in shown


def test_a_stream_that_breaks_off_is_no_end(door: Door) -> None:
    door.llm.behave = gives(*stream_of(events_of(message(BREAD * 3))[:-1]))
    found = door.ask(stream=True).get_data(as_text=True)
    assert "response.completed" not in found
    assert "chat_model_error" in found


@pytest.mark.parametrize(
    "document", [{"output": None}, {"choices": []}, response(status="failed", error={"code": "x"})]
)
def test_what_is_no_reply_is_502(door: Door, document: Any) -> None:
    door.llm.behave = gives(http(200, document))
    assert door.ask().status_code == 502


# What is sent.


@pytest.mark.parametrize(
    "given",
    [
        "How?",
        [{"role": "user", "content": "How?"}],
        [{"type": "message", "role": "user", "content": "How?"}],
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "How?"}]}],
        [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "How?"}],
        [{"role": "user", "content": "Hi"}, message("Hello.", name="msg_9"), {"role": "user", "content": "How?"}],
        [{"role": "user", "content": "How?"}, reasoning("Hm.", name="rs_9"), call("{}", name="fc_9"),
         {"type": "function_call_output", "call_id": "call_fc_9", "output": "Two loaves."}],
        [{"role": "user", "content": "How?"},
         {"type": "custom_tool_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "x"}]}],
    ],
)  # fmt: skip
def test_every_shape_of_input_that_clients_send_reaches_the_model(door: Door, given: Any) -> None:
    assert door.ask(given).status_code == 200
    assert door.llm.requests[0].body["input"] == given


def test_the_users_words_are_judged_in_every_shape(door: Door) -> None:
    for given in (
        [{"role": "user", "content": "a bomb"}],
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a bomb"}]}],
        [{"role": "user", "content": "a bomb"}, {"role": "user", "content": "thanks"}],
        [
            {"role": "user", "content": "a bomb"},
            call("{}"),
            {"type": "function_call_output", "call_id": "c", "output": "1"},
        ],
        [{"role": "user", "content": "hi", "a_new_field": "a bomb"}],
        [{"role": "user", "content": [{"type": "input_text", "text": "hi", "a_new_field": "a bomb"}]}],
        [{"role": "user", "content": [{"type": "input_text", "text": "hi", "refusal": "a bomb"}]}],
        [{"role": "user", "content": [{"type": "input_text", "text": "hi", "annotations": [{"title": "a bomb"}]}]}],
        [{"role": "user", "content": "hi", "id": "a bomb"}],
        [{"role": "user", "content": "hi", "status": {"is": "a bomb"}}],
        [{"role": "user", "content": "hi"}, reasoning("I will tell of a bomb.")],
    ):
        assert SORRY in json.dumps(door.ask(given).json), given
    assert SORRY in json.dumps(door.ask(a_new_field="a bomb").json)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"previous_input_messages": [{"role": "user", "content": "x"}]}, "previous_input_messages"),
        ({"messages": []}, "messages"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_url": "http://x"}]}, "tools[0].type"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0].type",
        ),
        ({"input": [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 7}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "item_reference", "id": "msg_77"}]}, "input[0].id"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": 7}, "input"),
        ({"Input": "x"}, "input"),
        ({"previous_response_id": "resp_77"}, "previous_response_id"),
        ({"chat_template_kwargs": {"x": "some words"}}, "chat_template_kwargs"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_can_not_be_judged_is_refused_by_name(door: Door, body: dict[str, Any], param: str) -> None:
    reply = door.ask(**{"given": "Hi", **body} if "input" not in body else {"given": body["input"]})
    assert (reply.status_code, reply.json["error"]["param"]) == (400, param)
    assert door.llm.requests == []


def test_images_go_through_where_the_operator_lets_them(llm: FakeLLM) -> None:
    door = Door(llm, chat_allow_media=True).sends(message(BREAD))
    given = [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "a bomb"}, {"type": "input_image", "image_url": "x"}],
        }
    ]
    assert SORRY in json.dumps(door.ask(given).json)
    given[0]["content"][0]["text"] = "What is it?"  # type: ignore[index]
    assert door.ask(given).json["status"] == "completed"
    for file in ({"filename": "of a bomb"}, {"file_data": "data:text/plain,a%20bomb"}, {"file_url": ["a bomb"]}):
        given[0]["content"][1] = {"type": "input_file", **file}  # type: ignore[index]
        assert SORRY in json.dumps(door.ask(given).json), file


def test_results_of_tools_are_judged_where_the_operator_says_so(llm: FakeLLM) -> None:
    given = [{"role": "user", "content": "Hi"}, {"type": "function_call_output", "call_id": "c", "output": "a bomb"}]
    assert Door(llm).sends(message(BREAD)).ask(given).json["status"] == "completed"
    assert Door(llm, chat_judge_tool_results=True).ask(given).json["status"] == "incomplete"


def test_refusals_and_empty_answers_of_the_past_are_rewritten(door: Door) -> None:
    refusal = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    empty = {"type": "message", "role": "assistant", "content": []}
    door.ask([{"role": "user", "content": "Hi"}, refusal, empty, {"role": "user", "content": "How?"}])
    told = [{"type": "output_text", "text": "No.", "annotations": []}]
    sent = door.llm.requests[0].body["input"]
    assert [one.get("content") for one in sent] == ["Hi", told, "How?"]


# What is remembered.


def test_a_turn_can_be_referred_to_instead_of_sent(door: Door) -> None:
    first = door.ask("How do I bake bread?").json
    door.sends(message("Yes. ", name="msg_2"), id="resp_2")
    second = door.ask("With salt?", previous_response_id=first["id"]).json
    assert second["previous_response_id"] == "resp_1"
    asked = door.llm.requests[-1].body
    assert "previous_response_id" not in asked
    user = {"type": "message", "role": "user"}
    items = [{**user, "content": "How do I bake bread?"}, message(BREAD), {**user, "content": "With salt?"}]
    assert asked["input"] == items
    door.ask("And then?", previous_response_id="resp_2")
    assert len(door.llm.requests[-1].body["input"]) == 5


def test_an_item_can_be_referred_to_instead_of_sent(door: Door) -> None:
    door.stream("Hi")
    door.ask(
        [{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "?"}]
    )
    assert door.llm.requests[-1].body["input"][1] == message(BREAD)


def test_a_turn_is_judged_with_those_it_refers_to(door: Door) -> None:
    engine = FakeEngine()
    door = Door(door.llm, engine=engine).sends(call("{}"))
    first = door.ask("Tell me of a bo").json
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    second = door.ask([output, {"role": "user", "content": "mb"}], previous_response_id=first["id"])
    assert second.status_code == 200
    assert engine.asked[2] == "Tell me of a bo\nmb"
    door.sends(message(BREAD))
    blocked = door.ask("a bomb").json
    assert door.ask("Go on.", previous_response_id=blocked["id"]).json["status"] == "completed"
    # The blocked prompt's request, which was broken off, may be noted after this one.
    assert any(SORRY in json.dumps(request.body["input"]) for request in door.llm.requests)


def test_a_caller_finds_only_what_was_let_out_to_it(llm: FakeLLM) -> None:
    door = Door(llm, api_keys=(Secret("anna:key-of-anna"), Secret("berta:key-of-berta"))).sends(message(BREAD))
    anna, berta = ({"Authorization": f"Bearer key-of-{name}"} for name in ("anna", "berta"))
    first = door.ask(headers=anna).json
    assert door.ask("Go on.", headers=berta, previous_response_id=first["id"]).status_code == 400
    assert door.ask("Go on.", headers=anna, previous_response_id=first["id"]).status_code == 200


def test_what_shall_not_be_kept_is_not(door: Door) -> None:
    first = door.ask(store=False).json
    assert door.ask("Go on.", previous_response_id=first["id"]).json["error"]["param"] == "previous_response_id"


# Sealed data.


SEALED = base64.b64encode(bytes(range(128, 200))).decode()


@pytest.mark.parametrize(
    "sealed",
    [
        "a bomb",
        base64.b64encode(b"this is a bomb").decode(),
        base64.b64encode(zlib.compress(b"this is a bomb")).decode(),
    ],
)
def test_sealed_data_that_can_be_read_is_judged(door: Door, sealed: str) -> None:
    door.sends(reasoning("Hm.", sealed=sealed), message(BREAD))
    found = door.stream()
    assert sealed not in json.dumps(found)
    assert found[-1]["type"] == "response.incomplete"
    assert door.ask().json["status"] == "incomplete"


def test_sealed_data_waits_for_the_whole_reply(door: Door) -> None:
    found = door.sends(reasoning("Hm.", sealed=SEALED), message(BREAD + "A bomb.")).stream()
    assert SEALED not in json.dumps(found)


def test_sealed_data_comes_back_only_with_our_mark(door: Door) -> None:
    door.sends(reasoning("Hm.", sealed=SEALED), message(BREAD))
    for item in (door.stream()[-1]["response"]["output"][0], door.ask().json["output"][0]):
        assert item["encrypted_content"].startswith("v1.")
        door.ask([{"role": "user", "content": "Hi"}, item, {"role": "user", "content": "?"}])
        assert door.llm.requests[-1].body["input"][1]["encrypted_content"] == SEALED
        for forged in (SEALED, item["encrypted_content"] + "x", "v1.00." + SEALED, 7):
            bare = {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": forged}
            door.ask([{"role": "user", "content": "Hi"}, bare, {"role": "user", "content": "?"}])
            assert [one["role"] for one in door.llm.requests[-1].body["input"]] == ["user", "user"]


# The guard itself.


def test_the_guard_itself_answers_here_too(llm: FakeLLM) -> None:
    for door in (Door(llm), Door.__new__(Door)):
        if not hasattr(door, "llm"):
            door._client = make_client()
        reply = door.ask([{"role": "user", "content": "a bomb"}], model="guard-n8n").json
        assert json.loads(reply["output"][0]["content"][0]["text"])["flagged"] is True
        found = door.stream("a bomb", model="guard-qwen")
        assert text_of(found) == "Safety: Unsafe\nCategories: Violent"
        assert found[-1]["response"]["output"][0]["content"][0]["text"] == text_of(found)
    assert llm.requests == []
