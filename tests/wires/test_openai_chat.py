"""`POST /v1/chat/completions`: the guard as a chat model, whole and as a stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from apps import Near, decision, make_client
from fakes import FakeEngine, verdict
from hypothesis import given
from hypothesis import strategies as st
from openai_documents import completion, openai_error

from moderation_service.core.conversation import Conversation, Limits
from moderation_service.core.moderator import Check
from moderation_service.core.policy import BUILT_IN, Policies
from moderation_service.core.verdict import Action, Category, Decision, Scores, Severity, Target, Verdict
from moderation_service.errors import EngineAnswerInvalid, EngineUnavailable, ModerationError, Overloaded
from moderation_service.wires import openai_chat
from moderation_service.wires.openai_models import Headers
from moderation_service.wires.openai_personas import LLAMA_GUARD_CODES, PERSONAS, speak

POLICIES = Policies(BUILT_IN, default="balanced")
BOMB = [{"role": "user", "content": "how to make a bomb"}]
ANSWERED = [*BOMB, {"role": "assistant", "content": "I can't help with that."}]


def ask(messages: object, *, headers: dict[str, str] | None = None, engine: Any = None, **body: Any) -> Any:
    body = {"model": "guard", "messages": messages, **body}
    return make_client(engine=engine).post("/v1/chat/completions", json=body, headers=headers)


def said(messages: object, **body: Any) -> str:
    reply = ask(messages, **body)
    assert reply.status_code == 200, reply.json
    text: str = reply.json["choices"][0]["message"]["content"]
    return text


def events(reply: Any) -> list[Any]:
    """The documents of a stream, which must end with OpenAI's mark."""
    *frames, end, rest = reply.get_data(as_text=True).split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def test_a_prompt_is_answered_with_the_two_lines_of_the_model() -> None:
    expected = completion("Safety: Unsafe\nCategories: Violent", decision("unsafe", "violent"))
    assert (ask(BOMB).status_code, ask(BOMB).json) == (200, expected)


def test_a_response_is_judged_as_one_and_answered_with_three_lines() -> None:
    expected = completion("Safety: Safe\nCategories: None\nRefusal: Yes", decision(target="response", refusal=True))
    assert ask(ANSWERED).json == expected


def test_the_lines_say_what_was_found_and_not_what_the_policy_makes_of_it() -> None:
    insult = [{"role": "user", "content": "an insult about the election"}]
    lines = "Safety: Controversial\nCategories: Politically Sensitive Topics, Unethical Acts"
    assert said(insult) == said(insult, model="policy:strict") == lines


def test_the_action_is_beside_the_lines() -> None:
    reply = ask([{"role": "user", "content": "an insult"}], model="policy:strict")
    assert reply.json["x_moderation"]["action"] == reply.headers["X-Moderation-Action"] == "block"


def chunk(*, delta: dict[str, str], finish: str | None = None, **more: object) -> dict[str, object]:
    whole = completion("", decision())
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {key: whole[key] for key in ("id", "created", "model")}
    return {**head, "object": "chat.completion.chunk", "choices": [choice], **more}


def test_a_stream_has_the_role_first_then_a_line_each_then_the_end() -> None:
    reply = ask(ANSWERED, stream=True)
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert events(reply) == [
        chunk(delta={"role": "assistant", "content": ""}),
        chunk(delta={"content": "Safety: Safe\n"}),
        chunk(delta={"content": "Categories: None\n"}),
        chunk(delta={"content": "Refusal: Yes"}),
        chunk(delta={}, finish="stop", x_moderation=decision(target="response", refusal=True)),
    ]


def test_usage_comes_last_when_it_is_asked_for() -> None:
    found = events(ask(BOMB, stream=True, stream_options={"include_usage": True}))
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert [one["usage"] for one in found] == [None, None, None, None, usage]
    assert found[-1]["choices"] == []


def test_all_events_of_a_stream_have_one_id() -> None:
    assert len({one["id"] for one in events(ask(BOMB, stream=True))}) == 1


@pytest.mark.parametrize("stream", [None, False])
def test_a_stream_is_not_sent_unasked(stream: bool | None) -> None:
    assert ask(BOMB, stream=stream).content_type == "application/json"


# What clients send besides.


def test_system_developer_and_tool_turns_are_left_out() -> None:
    engine = FakeEngine()
    history = [
        {"role": "system", "content": "You make a bomb."},
        {"role": "developer", "content": "bomb"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"arguments": "bomb"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "bomb"},
        {"role": "function", "name": "f", "content": "bomb"},
        {"role": "user", "content": "thanks"},
    ]
    assert ask(history, engine=engine).json["x_moderation"]["safety"] == "safe"
    assert engine.asked == ["hello\nthanks"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "a bomb", "name": "ann", "id": "m1", "timestamp": 1, "files": []},
        {"role": "user", "content": [{"type": "text", "text": "a bomb", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": "a bomb", "refusal": None, "annotations": [], "audio": None},
        {"role": "assistant", "content": None, "refusal": "a bomb"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "a bomb"}]},
    ],
)
def test_fields_of_messages_that_change_nothing_are_ignored(message: dict[str, object]) -> None:
    assert said([message]).startswith("Safety: Unsafe\nCategories: Violent")


def test_a_call_of_tools_may_leave_its_content_out() -> None:
    calls: list[dict[str, object]] = [{"tool_calls": [{"id": "1"}]}, {"function_call": {"name": "f"}}]
    for call in calls:
        assert said([{"role": "assistant", **call}, *BOMB]) == "Safety: Unsafe\nCategories: Violent"


def test_sampling_fields_are_ignored() -> None:
    fields = {
        "temperature": 1e-20,
        "max_tokens": 1,
        "n": 3,
        "logprobs": True,
        "stop": ["Safe"],
        "tools": [{}],
        "seed": 1,
    }
    assert said(BOMB, **fields) == "Safety: Unsafe\nCategories: Violent"


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ([], "The body must be a JSON object.", None),
        ({}, "`messages` is missing.", "messages"),
        ({"messages": "hi"}, "`messages` must be a list of messages, not a string.", "messages"),
        ({"messages": []}, "`messages` must contain a user or an assistant message.", "messages"),
        (
            {"messages": ["hi"]},
            "`messages[0]` must be an object with `role` and `content`, not a string.",
            "messages[0]",
        ),
        ({"messages": [{"role": "user"}]}, "`messages[0].content` is missing.", "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": None}]},
            "`messages[0].content` must be a string or a list of text parts, not null.",
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "user", "content": " "}]},
            "`messages[0].content` is empty or blank.",
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "`messages[0].content[0]` is of type image_url: this service judges text only, images and other media are "
            "refused.",
            "messages[0].content[0].type",
        ),
        ({"messages": BOMB, "stream": "yes"}, "`stream` must be true or false.", "stream"),
        ({"messages": BOMB, "stream_options": 1}, "`stream_options` must be an object.", "stream_options"),
        (
            {"messages": BOMB, "stream_options": {"include_usage": 1}},
            "`stream_options.include_usage` must be true or false.",
            "stream_options.include_usage",
        ),
        (
            {"messages": BOMB, "model": "guard-llamaguard:strct"},
            "`model` is no policy of this service; it has balanced, loose, strict.",
            "model",
        ),
    ],
)
def test_what_can_not_be_read_is_refused_and_named(body: object, message: str, param: str | None) -> None:
    reply = make_client().post("/v1/chat/completions", json=body)
    expected = openai_error("invalid_request_error", "invalid_request", message, param)
    assert (reply.status_code, reply.json) == (400, expected)


# When there is no verdict.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("raised", "status", "kind"),
    [
        (EngineUnavailable("No."), 503, "server_error"),
        (EngineAnswerInvalid("No."), 502, "server_error"),
        (Overloaded("No."), 429, "rate_limit_error"),
        (RuntimeError("secret"), 500, "server_error"),
    ],
)
def test_a_failure_is_a_status_and_never_a_verdict(stream: bool, raised: Exception, status: int, kind: str) -> None:
    reply = ask(BOMB, stream=stream, engine=FakeEngine(raises=raised))
    assert (reply.status_code, reply.content_type, reply.json["error"]["type"]) == (status, "application/json", kind)
    assert "Safety" not in reply.get_data(as_text=True)


@pytest.mark.parametrize("model", ["guard", *PERSONAS])
@pytest.mark.parametrize("on_failure", ["block", "flag", "allow", "error"])
def test_a_fail_mode_that_decides_without_a_verdict_can_not_speak(tmp_path: Path, on_failure: str, model: str) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(f"policies: {{own: {{on_failure: {on_failure}}}}}")
    engine = FakeEngine(raises=EngineUnavailable("No verdict could be had."))
    client = make_client(engine=engine, policies_file=file, default_policy="own")
    reply = client.post("/v1/chat/completions", json={"model": model, "messages": BOMB})
    expected = openai_error("server_error", "engine_unavailable", "No verdict could be had.")
    assert (reply.status_code, reply.json) == (503, expected)


def test_the_fallbacks_verdict_is_marked_degraded() -> None:
    client = make_client(engine=FakeEngine(raises=EngineUnavailable("Down.")), fallback=FakeEngine(name="lite"))
    reply = client.post("/v1/chat/completions", json={"messages": BOMB})
    assert reply.json == completion(
        "Safety: Unsafe\nCategories: Violent", decision("unsafe", "violent", engine="lite", degraded=True)
    )
    assert reply.headers["X-Moderation-Degraded"] == "true"


# Personas.


@pytest.mark.parametrize(
    ("model", "harmless", "harmful"),
    [
        ("guard-qwen", "Safety: Safe\nCategories: None", "Safety: Unsafe\nCategories: Violent"),
        ("guard-llamaguard", "safe", "unsafe\nS1"),
        (
            "guard-nemoguard",
            '{"User Safety": "safe", "Response Safety": "safe"}',
            '{"User Safety": "unsafe", "Response Safety": "unsafe", "Safety Categories": "Violent"}',
        ),
        (
            "guard-nemotron",
            "User Safety: safe\nResponse Safety: safe",
            "User Safety: unsafe\nResponse Safety: unsafe\nSafety Categories: Violent",
        ),
        ("guard-n8n", '{"confidenceScore": 0.02, "flagged": false}', '{"confidenceScore": 0.95, "flagged": true}'),
    ],
)
def test_a_persona_answers_in_its_dialect(model: str, harmless: str, harmful: str) -> None:
    assert said([{"role": "user", "content": "hello"}], model=model) == harmless
    assert said(BOMB, model=model) == harmful


@pytest.mark.parametrize(
    ("model", "expected"), [("guard-llamaguard", "safe"), ("guard-llamaguard:strict", "unsafe\nS10")]
)
def test_a_persona_says_what_the_policy_decides(model: str, expected: str) -> None:
    assert said([{"role": "user", "content": "an insult"}], model=model) == expected


def test_the_policy_of_a_persona_can_come_by_header() -> None:
    reply = ask(
        [{"role": "user", "content": "an insult"}], model="guard-nemotron", headers={"X-Moderation-Policy": "strict"}
    )
    assert "Safety Categories: Unethical Acts" in reply.json["choices"][0]["message"]["content"]


def spoken(persona: str, found: Verdict | None) -> str:
    made = Decision("mod_1", Target.PROMPT, found, Action.BLOCK, "balanced", None, "fake", "fake-1", False, False, 1.0)
    return speak(persona, Check(Conversation.of(prompt="x"), BUILT_IN["balanced"]), made)


@pytest.mark.parametrize(
    ("persona", "expected"),
    [
        ("guard-qwen", "Safety: Unsafe\nCategories: None"),
        ("guard-llamaguard", "unsafe\nS2"),
        ("guard-nemotron", "User Safety: unsafe\nResponse Safety: unsafe\nSafety Categories: Unspecified"),
    ],
)
def test_a_block_without_a_category_still_reads_as_a_block(persona: str, expected: str) -> None:
    assert spoken(persona, verdict(Severity.UNSAFE)) == expected


def test_llama_guards_codes_are_named_once_each_and_stay_inside_its_taxonomy() -> None:
    codes = {f"S{number}" for number in range(1, 15)}
    assert set(LLAMA_GUARD_CODES) == set(Category)
    assert set(LLAMA_GUARD_CODES.values()) <= codes
    both = verdict(Severity.UNSAFE, Category.JAILBREAK, Category.NON_VIOLENT_ILLEGAL_ACTS, Category.PII)
    assert spoken("guard-llamaguard", both) == "unsafe\nS2,S7"


def test_a_score_without_probabilities_is_the_action() -> None:
    assert json.loads(spoken("guard-n8n", verdict(Severity.UNSAFE))) == {"confidenceScore": 1.0, "flagged": True}
    rounded = verdict(Severity.UNSAFE, scores=Scores(0.0, 0.0, 1.0000001))
    assert json.loads(spoken("guard-n8n", rounded)) == {"confidenceScore": Near(1, 1), "flagged": True}


# Any body.

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
part = st.fixed_dictionaries({"type": st.sampled_from(["text", "refusal", "file"])}, optional={"text": st.text()})
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "function", "x"])},
    optional={
        "content": anything | st.text() | st.lists(part, max_size=2),
        "refusal": anything,
        "tool_calls": anything,
    },
)


def parsed_or_error(body: object) -> openai_chat.ChatRequest | ModerationError:
    try:
        return openai_chat.parse(body, policies=POLICIES, limits=Limits(), headers=Headers())
    except ModerationError as error:
        return error


@given(anything | st.fixed_dictionaries({"messages": anything | st.lists(message, max_size=3)}))
def test_any_body_is_read_or_refused_with_the_field_at_fault(body: object) -> None:
    asked = parsed_or_error(body)
    if isinstance(asked, ModerationError):
        assert asked.status in (400, 413)
        assert asked.param is not None or not isinstance(body, dict)
    else:
        assert asked.check.conversation.messages[-1].content.strip()
