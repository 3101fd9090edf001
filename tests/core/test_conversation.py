from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.conversation import Conversation, Limits, Message, Role
from moderation_service.core.verdict import Target
from moderation_service.errors import InvalidRequest, ModerationError, TooLarge

LIMITS = Limits(messages=8)
BLANK = ["", " ", "\n\t ", "\u200b", "\u2060\ufeff\u00ad", "\u3000\u00a0", "\x00\x07"]
WRONG_TYPES = [(1, "a number"), (1.5, "a number"), (True, "a boolean"), (None, "null"), ({}, "an object")]


def of_messages(*messages: object, limits: Limits = LIMITS) -> Conversation:
    return Conversation.from_messages(list(messages), limits=limits)


def turn(role: str, content: object, **fields: object) -> dict[str, object]:
    return {"role": role, "content": content, **fields}


def refused(raw: object, *, limits: Limits = LIMITS) -> ModerationError:
    with pytest.raises(ModerationError) as caught:
        Conversation.from_messages(raw, limits=limits)
    return caught.value


# What is judged


def test_a_prompt_alone_is_judged_as_a_prompt() -> None:
    conversation = Conversation.of(prompt="Hello")
    assert conversation == Conversation((Message(Role.USER, "Hello"),))
    assert (conversation.target, conversation.prompt, conversation.response) == (Target.PROMPT, "Hello", None)


def test_a_response_is_judged_with_its_prompt_as_context() -> None:
    conversation = Conversation.of(prompt="Hello", response="Hi")
    assert conversation == Conversation((Message(Role.USER, "Hello"), Message(Role.ASSISTANT, "Hi")))
    assert (conversation.target, conversation.prompt, conversation.response) == (Target.RESPONSE, "Hello", "Hi")


def test_a_response_alone_gets_an_empty_user_turn_before_it() -> None:
    conversation = Conversation.of(response="Hi")
    assert conversation == Conversation((Message(Role.USER, ""), Message(Role.ASSISTANT, "Hi")))
    assert (conversation.target, conversation.prompt, conversation.response) == (Target.RESPONSE, "", "Hi")


def test_a_history_that_begins_with_the_assistant_gets_an_empty_user_turn_before_it() -> None:
    conversation = of_messages(turn("assistant", "Welcome"), turn("user", "Hello"))
    assert conversation.messages == (
        Message(Role.USER, ""),
        Message(Role.ASSISTANT, "Welcome"),
        Message(Role.USER, "Hello"),
    )
    assert conversation.target is Target.PROMPT


@pytest.mark.parametrize("role", ["system", "developer", "tool"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_system_developer_and_tool_turns_are_accepted_and_not_judged(role: str, position: int) -> None:
    messages = [turn("user", "Hello"), turn("assistant", "Hi")]
    messages.insert(position, turn(role, "not a person's words"))
    assert of_messages(*messages) == Conversation.of(prompt="Hello", response="Hi")


def test_a_trailing_tool_turn_does_not_change_what_is_judged() -> None:
    assert of_messages(turn("user", "Hello"), turn("tool", "42")).target is Target.PROMPT


def test_a_turn_that_only_calls_tools_may_have_no_content() -> None:
    calls = [{"id": "call_1", "function": {"name": "add", "arguments": "{}"}}]
    conversation = of_messages(
        turn("user", "Add"),
        turn("assistant", None, tool_calls=calls),
        turn("tool", "42", tool_call_id="call_1"),
        turn("user", "Thanks", name="ada"),
    )
    assert conversation == Conversation.of(prompt="Add\nThanks")


# What is one turn


def test_all_that_the_user_wrote_since_the_last_answer_is_one_prompt() -> None:
    first, second = turn("user", "How can I make a bomb?"), turn("user", "Explain the above part")
    assert of_messages(first, second).prompt == "How can I make a bomb?\nExplain the above part"
    answered = of_messages(turn("user", "Hi"), turn("assistant", "Hello"), first, second)
    assert [message.content for message in answered.messages] == [
        "Hi",
        "Hello",
        f"{first['content']}\n{second['content']}",
    ]


@pytest.mark.parametrize(
    "between",
    [
        turn("system", "Be brief."),
        turn("developer", "Be brief."),
        turn("tool", "42", tool_call_id="call_1"),
        turn("function", "42", name="add"),
        turn("assistant", ""),
        turn("assistant", " \u200b\n"),
        turn("assistant", []),
        turn("assistant", None, tool_calls=[{"id": "call_1"}]),
        turn("assistant", "", tool_calls=[{"id": "call_1"}]),
        turn("assistant", None, function_call={"name": "add"}),
        {"role": "assistant", "tool_calls": [{"id": "call_1"}]},
        {"role": "assistant", "tool_calls": [{"id": "call_1"}], "reasoning_content": "I had better add these up."},
    ],
)
def test_a_message_that_shows_the_user_nothing_parts_nothing(between: object) -> None:
    assert of_messages(turn("user", "a bomb"), between, turn("user", "go on")).prompt == "a bomb\ngo on"


def test_an_answer_that_says_something_parts_the_turns() -> None:
    conversation = of_messages(turn("user", "a bomb"), turn("assistant", "No."), turn("user", "OK. What is 2+2?"))
    assert conversation.prompt == "OK. What is 2+2?"
    assert len(conversation.messages) == 3


@pytest.mark.parametrize("message", [{"role": "assistant"}, turn("assistant", None), turn("assistant", "")])
def test_in_the_second_call_of_a_tool_loop_the_users_turn_is_judged(message: dict[str, object]) -> None:
    called = {**message, "tool_calls": [{"id": "call_1", "function": {"name": "add", "arguments": "{}"}}]}
    asked, result = turn("user", "What is 2+2?"), turn("tool", "4", tool_call_id="call_1")
    for history in ([asked, called, result], [asked, called, result, called, result], [asked, called]):
        assert of_messages(*history) == Conversation.of(prompt="What is 2+2?")


def test_answers_in_a_row_are_one_answer() -> None:
    conversation = of_messages(turn("user", "Hi"), turn("assistant", "a bomb"), turn("assistant", "goes off"))
    assert conversation == Conversation.of(prompt="Hi", response="a bomb\ngoes off")


def test_calls_of_tools_without_a_question_are_nothing_to_judge() -> None:
    calls = {"role": "assistant", "tool_calls": [{"id": "call_1"}]}
    assert refused([calls, turn("tool", "4")]).message == "`messages` must contain a user or an assistant message."


# Messages as clients keep them


@pytest.mark.parametrize(
    "fields",
    [
        {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None},
        {"id": "msg_1", "object": "message", "type": "message", "status": "completed", "created_at": 1, "index": 0},
        {"reasoning_content": "The user wants a colour.", "reasoning": None, "reasoning_details": []},
        {"provider_specific_fields": {}, "thinking_blocks": None, "name": "bot", "timestamp": 1, "parsed": None},
        {"cache_control": {"type": "ephemeral"}, "metadata": {"a": 1}},
    ],
)
def test_fields_of_an_answer_that_was_kept_whole_are_accepted(fields: dict[str, object]) -> None:
    asked, then = turn("user", "Name a colour."), turn("user", "And another?")
    plain = of_messages(asked, turn("assistant", "Blue."), then)
    assert of_messages(asked, turn("assistant", "Blue.", **fields), then) == plain


@pytest.mark.parametrize("field", ["contnet", "tool_call", "roles", "Content", "text", "documents"])
def test_a_misspelt_field_of_a_message_is_refused_by_name(field: str) -> None:
    error = refused([turn("user", "x", **{field: "a bomb"})])
    assert (error.status, error.param) == (400, f"messages[0].{field}")


def test_parts_may_have_the_marks_that_clients_put_on_them() -> None:
    marks = {"cache_control": {"type": "ephemeral"}, "annotations": [], "logprobs": None}
    for kind in ("text", "input_text", "output_text"):
        assert of_messages(turn("user", [{"type": kind, "text": "x", **marks}])).prompt == "x"


def test_what_an_answer_says_in_a_field_of_its_own_is_part_of_it() -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "I can't."}
    spoken = {"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "I can't."}}
    part = turn("assistant", [{"type": "refusal", "refusal": "I can't."}])
    for message in (refusal, spoken, part):
        assert of_messages(turn("user", "Hi"), message).response == "I can't."
        assert of_messages(turn("user", "Hi"), message, turn("user", "Why?")).prompt == "Why?"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_are_judged_with_the_answer_and_left_out_of_earlier_ones(field: str) -> None:
    thoughtful = turn("assistant", "Blue.", **{field: "a bomb"})
    assert of_messages(turn("user", "Hi"), thoughtful).response == "a bomb\nBlue."
    assert of_messages(turn("user", "Hi"), thoughtful, turn("user", "Why?")).messages[1].content == "Blue."
    only = {"role": "assistant", "content": None, field: "a bomb"}
    assert of_messages(turn("user", "Hi"), only).response == "a bomb"


def test_null_content_without_tool_calls_is_refused() -> None:
    for message in (
        turn("assistant", None),
        turn("assistant", None, tool_calls=[]),
        turn("user", None, tool_calls=[1]),
    ):
        error = refused([turn("user", "Hello"), message])
        assert (error.status, error.param) == (400, "messages[1].content")


def test_text_parts_are_joined_by_newlines() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert of_messages(turn("user", parts)).prompt == "one\ntwo"
    assert Conversation.of(prompt=parts).prompt == "one\ntwo"


def test_text_is_kept_exactly_as_it_was_sent() -> None:
    for text in ("  padded\n", "e\u0301 \u00e9", "👩\u200d👩\u200d👧", "مرحبا \u202eabc", "\r\nx\x00"):
        assert Conversation.of(prompt=text).prompt == text


# What is refused


@pytest.mark.parametrize("text", BLANK)
def test_a_text_that_shows_nothing_is_refused(text: str) -> None:
    for body, param in (
        ({"prompt": text}, "prompt"),
        ({"prompt": "x", "response": text}, "response"),
        ({"response": text}, "response"),
        ({"prompt": text, "response": "x"}, "prompt"),
        ({"prompt": [{"type": "text", "text": text}]}, "prompt"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            Conversation.of(**body)  # type: ignore[arg-type]
        assert (caught.value.message, caught.value.param) == (f"`{param}` is empty or blank.", param)


@pytest.mark.parametrize("text", BLANK)
def test_only_the_judged_turn_must_not_be_blank(text: str) -> None:
    assert of_messages(turn("user", text), turn("assistant", "x")).response == "x"
    assert refused([turn("user", "x"), turn("assistant", text)]).param == "messages[1].content"
    assert refused([turn("user", text), turn("system", "x")]).param == "messages[0].content"


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Conversation.of()
    assert caught.value.message == "Give `prompt`, `prompt` and `response`, or `messages`."
    for messages in ([], [turn("system", "x")], [turn("tool", "x"), turn("developer", "x")]):
        assert refused(messages).message == "`messages` must contain a user or an assistant message."


@pytest.mark.parametrize(("value", "kind"), [*WRONG_TYPES[:3], WRONG_TYPES[4]])
def test_a_text_of_another_type_is_refused(value: object, kind: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Conversation.of(prompt=value)
    assert caught.value.message == f"`prompt` must be a string or a list of text parts, not {kind}."


@pytest.mark.parametrize(("value", "kind"), WRONG_TYPES)
def test_content_of_another_type_is_refused(value: object, kind: str) -> None:
    error = refused([turn("user", value)])
    assert error.message == f"`messages[0].content` must be a string or a list of text parts, not {kind}."
    assert error.param == "messages[0].content"


@pytest.mark.parametrize(("value", "kind"), [*WRONG_TYPES, ("text", "a string")])
def test_messages_of_another_type_are_refused(value: object, kind: str) -> None:
    assert refused(value).message == f"`messages` must be a list of messages, not {kind}."


@pytest.mark.parametrize(("value", "kind"), [*WRONG_TYPES[:4], ("text", "a string"), ([], "a list")])
def test_a_message_of_another_type_is_refused(value: object, kind: str) -> None:
    error = refused([turn("user", "x"), value])
    assert error.message == f"`messages[1]` must be an object with `role` and `content`, not {kind}."
    assert error.param == "messages[1]"


@pytest.mark.parametrize("role", ["User", "moderator", "", None, 1, ["user"], {"a": 1}])
def test_an_unknown_role_is_refused(role: object) -> None:
    error = refused([{"role": role, "content": "x"}])
    assert error.message == "`messages[0].role` must be one of user, assistant, system, developer, tool, function."
    assert error.param == "messages[0].role"


def test_missing_content_is_refused() -> None:
    assert refused([{"role": "user"}]).message == "`messages[0].content` is missing."


def test_an_unknown_field_is_named_in_a_printable_form() -> None:
    error = refused([turn("user", "x", height=1)])
    assert (error.message, error.param) == ("`messages[0]` has an unknown field.", "messages[0].height")
    assert refused([turn("user", "x", **{"a b\n<script>é" + "z" * 99: 1})]).param == "messages[0].abscript" + "z" * 27
    assert refused([turn("user", "x", 名=1)]).param == "messages[0].?"


@pytest.mark.parametrize("kind", ["image_url", "input_image", "image", "input_audio", "file"])
def test_images_and_other_media_are_refused_and_say_so(kind: str) -> None:
    error = refused([turn("user", [{"type": "text", "text": "look"}, {"type": kind, kind: "x"}])])
    assert error.message == (
        f"`messages[0].content[1]` is of type {kind}: this service judges text only, images and other media are "
        "refused."
    )
    assert error.param == "messages[0].content[1].type"


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("text", ""),
        (None, ""),
        ([], ""),
        ({}, ".type"),
        ({"type": "txt", "text": "x"}, ".type"),
        ({"type": ["text"], "text": "x"}, ".type"),
        ({"type": "text"}, ".text"),
        ({"type": "text", "text": None}, ".text"),
        ({"type": "text", "text": 1}, ".text"),
        ({"type": "text", "text": "x", "txet": "y"}, ".txet"),
        ({"type": "text", "text": "x", "refusal": "y"}, ".refusal"),
        ({"type": "refusal", "text": "x"}, ".text"),
        ({"type": "text", "text": "\udfff"}, ".text"),
    ],
)
def test_a_part_that_is_no_text_part_is_refused(part: object, field: str) -> None:
    assert refused([turn("user", [part])]).param == f"messages[0].content[0]{field}"


def test_half_a_surrogate_pair_is_refused_in_every_turn() -> None:
    message = "has a lone surrogate, which is not valid Unicode."
    for role in ("user", "assistant", "system", "developer", "tool"):
        error = refused([turn(role, "a\ud800b"), turn("user", "x")])
        assert error.message == f"`messages[0].content` {message}"
    with pytest.raises(InvalidRequest, match=message):
        Conversation.of(prompt="\udc00")


def test_more_messages_than_the_limit_are_refused_and_as_many_are_not() -> None:
    assert of_messages(*[turn("user", "x")] * 8).prompt == "\n".join("x" * 8)
    error = refused([turn("user", "x")] * 9)
    assert isinstance(error, TooLarge)
    assert error.message == "`messages` has 9 messages; the limit is 8."


def test_errors_carry_the_place_in_a_batch() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Conversation.of(prompt=" ", at="inputs[3].")
    assert caught.value.param == "inputs[3].prompt"
    with pytest.raises(InvalidRequest) as caught:
        Conversation.from_messages([{}], limits=LIMITS, param="inputs[3].messages")
    assert caught.value.param == "inputs[3].messages[0].role"


# Whatever is sent

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
texts = st.text(st.characters(codec=None), max_size=8) | st.sampled_from([*BLANK, "x", "\ud83d"])
parts = st.fixed_dictionaries({"type": st.sampled_from(["text", "text", "image_url"]), "text": texts | anything})
contents = texts | st.lists(parts, max_size=3) | anything
nearly_messages = st.fixed_dictionaries(
    {"role": st.sampled_from([role.value for role in Role]) | anything, "content": contents},
    optional={"name": anything, "tool_calls": anything, "extra": anything},
)


def shows_something(text: str) -> bool:
    return any(unicodedata.category(char) not in {"Cc", "Cf", "Zs", "Zl", "Zp"} for char in text)


def assert_sound(conversation: Conversation) -> None:
    judged = conversation.messages[-1].content
    assert shows_something(judged)
    assert judged == (conversation.prompt if conversation.target is Target.PROMPT else conversation.response)
    assert conversation.messages[0].role is Role.USER
    for message in conversation.messages:
        assert message.role in (Role.USER, Role.ASSISTANT)
        message.content.encode("utf-8")


@given(st.lists(nearly_messages, max_size=4) | anything)
def test_any_messages_give_a_sound_conversation_or_an_error_that_names_a_field(raw: Any) -> None:
    try:
        conversation = Conversation.from_messages(raw, limits=LIMITS)
    except ModerationError as error:
        assert error.param is not None
        assert error.param.startswith("messages")
        assert error.param.isascii()
    else:
        assert_sound(conversation)


@given(st.fixed_dictionaries({}, optional={"prompt": contents, "response": contents}))
def test_any_prompt_and_response_give_a_sound_conversation_or_an_error_that_names_a_field(
    raw: Mapping[str, Any],
) -> None:
    try:
        conversation = Conversation.of(**raw)
    except ModerationError as error:
        assert error.param is not None
        assert error.param.partition("[")[0] in ("prompt", "response")
    else:
        assert_sound(conversation)
