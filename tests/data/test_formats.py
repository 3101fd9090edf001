"""How rows are read: the guess, and what of them is judged."""

from __future__ import annotations

from typing import Any

import pytest

from moderation_service.core.conversation import Conversation
from moderation_service.data.formats import Format, Judge, guess
from moderation_service.errors import DataError, InvalidRequest

CHAT = [
    {"role": "system", "content": "Be nice."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "How do I bake bread?"},
    {"role": "assistant", "content": "Mix flour and water."},
]


def turns(row: dict[str, Any], judge: Judge = Judge.LAST, **how: Any) -> list[Any]:
    """What is judged of a row: the texts of the turns, or the error."""
    found = []
    for asked in guess([row], judge=judge, **how).asked(row):
        one = asked.conversation
        found.append([turn.content for turn in one.messages] if isinstance(one, Conversation) else one)
    return found


@pytest.mark.parametrize(
    ("row", "wanted", "judged"),
    [
        ({"messages": CHAT}, Format.MESSAGES, [["Hi", "Hello!", "How do I bake bread?", "Mix flour and water."]]),
        (
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
            Format.SHAREGPT,
            [["Hi", "Hello!"]],
        ),
        (
            {"instruction": "Translate.", "input": "Brot", "output": "Bread"},
            Format.ALPACA,
            [["Translate.\n\nBrot", "Bread"]],
        ),
        (
            {"instruction": "Go on.", "input": "", "output": "3", "history": [["Count.", "1"], ["Go on.", "2"]]},
            Format.ALPACA,
            [["Count.", "1", "Go on.", "2", "Go on.", "3"]],
        ),
        (
            {"prompt": "Hi", "chosen": "Hello!", "rejected": "Go away."},
            Format.PAIRS,
            [["Hi", "Hello!"], ["Hi", "Go away."]],
        ),
        (
            {"prompt": "Hi", "chosen": CHAT[1:3], "rejected": [*CHAT[1:2], {"role": "assistant", "content": "No."}]},
            Format.PAIRS,
            [["Hi", "Hello!"], ["Hi", "No."]],
        ),
        ({"prompt": CHAT[1:2], "completion": CHAT[2:3]}, Format.PROMPT_RESPONSE, [["Hi", "Hello!"]]),
        ({"prompt": "Hi", "response": "Hello!"}, Format.PROMPT_RESPONSE, [["Hi", "Hello!"]]),
        ({"prompt": "Hi", "response": None}, Format.PROMPT_RESPONSE, [["Hi"]]),
        ({"question": "Hi", "source": "web"}, Format.PROMPT_RESPONSE, [["Hi"]]),
        ({"text": "Hi", "id": 1}, Format.TEXT, [["Hi"]]),
    ],
)
def test_the_format_is_found_by_the_shape_of_the_rows(
    row: dict[str, Any], wanted: Format, judged: list[list[str]]
) -> None:
    assert guess([row]).format is wanted
    assert turns(row) == judged


@pytest.mark.parametrize(
    "row",
    [
        {"messages": CHAT, "prompt": "Hi"},
        {"text": "a", "prompt": "b"},
        {"prompt": "a", "response": "b", "completion": "c"},
        {"instruction": "a", "output": "b", "text": "a b"},
        {"prompt": "a", "chosen": "b", "rejected": "c", "messages": CHAT},
    ],
)
def test_rows_that_can_be_read_in_two_ways_are_refused_with_a_way_to_say_which(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="ways") as refused:
        guess([row])
    for line in str(refused.value).splitlines()[1:]:
        _, name, _, fields = line.split()
        given = dict(one.split("=") for one in fields.split(","))
        found = guess([row], row_format=Format(name), fields=given)
        assert found.format is Format(name)
        assert set(given.values()) <= set(found.columns)


def test_rows_of_no_known_shape_are_refused_with_their_columns() -> None:
    with pytest.raises(DataError, match="columns: body, id"):
        guess([{"body": "Hi", "id": 1}])
    assert turns({"body": "Hi", "id": 1}, fields={"text": "body"}) == [["Hi"]]


def test_rows_of_mixed_shapes_are_read_where_they_fit() -> None:
    rows: list[dict[str, Any]] = [{"prompt": "Hi"}, {"prompt": "Hi", "response": "Hello!"}, {"prompt": 17}]
    reading = guess(rows)
    assert reading.columns == ("prompt", "response")
    assert isinstance(reading.asked(rows[2])[0].conversation, InvalidRequest)


def test_each_judged_turn_has_its_history_and_no_future() -> None:
    row = {"messages": CHAT}
    assert turns(row, Judge.PROMPT) == [["Hi", "Hello!", "How do I bake bread?"]]
    assert turns(row, Judge.RESPONSE) == [["Hi", "Hello!", "How do I bake bread?", "Mix flour and water."]]
    assert [len(found) for found in turns(row, Judge.EVERY_TURN)] == [1, 2, 3, 4]


def test_of_pairs_the_prompt_can_be_judged_alone_or_too() -> None:
    row = {"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}
    assert turns(row, Judge.PROMPT) == [["Hi"]]
    assert turns(row, Judge.EVERY_TURN) == [["Hi"], ["Hi", "Hello!"], ["Hi", "No."]]


def test_a_response_that_shows_nothing_is_an_error_and_not_its_prompt() -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "Hi", "response": " "},
        {"messages": [*CHAT[1:2], {"role": "assistant", "content": ""}]},
    ]
    for row in rows:
        assert isinstance(turns(row)[0], InvalidRequest)


def test_a_turn_that_is_not_there_is_an_error() -> None:
    assert isinstance(turns({"prompt": "Hi", "response": None}, Judge.RESPONSE)[0], InvalidRequest)


def test_a_text_is_judged_as_an_answer_where_that_is_said() -> None:
    assert turns({"text": "Hello!"}, Judge.RESPONSE) == [["", "Hello!"]]


def test_messages_may_carry_what_an_api_would_refuse() -> None:
    messages = [
        {"role": "system", "content": None, "weight": 0},
        {"role": "user", "content": [{"type": "text", "text": "Hi", "image_url": None}], "tool_calls": None},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": [{"type": "image_url"}]},
        {"role": "assistant", "content": "Hello!", "weight": 1, "loss": True},
    ]
    assert turns({"messages": messages}) == [["Hi", "Hello!"]]


def test_an_image_or_an_unknown_speaker_is_the_error_of_its_row() -> None:
    image = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}
    stranger = {"conversations": [{"from": "narrator", "value": "Once"}]}
    assert "images" in turns(image)[0].message
    assert turns(stranger)[0].param == "conversations[0].from"
