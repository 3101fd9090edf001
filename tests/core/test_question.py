"""A chat as the guard sees it: the question, and an answer with its question."""

from __future__ import annotations

import pytest

from moderation_service.core.conversation import Conversation, Message, Role
from moderation_service.core.question import Question
from moderation_service.core.verdict import Target


def chat(*turns: str) -> Question:
    """A chat from turns such as `user: hello`."""
    parts = [turn.partition(": ") for turn in turns]
    return Question.of([Message(Role(role), text) for role, _, text in parts])


def told(conversation: Conversation) -> list[str]:
    return [f"{message.role.value}: {message.content}" for message in conversation.messages]


def judged(question: Question) -> list[list[str]]:
    return [told(conversation) for conversation in question.to_judge()]


def test_the_last_user_turn_is_judged_with_the_turns_before_it() -> None:
    turns = ["user: hello", "assistant: hi", "user: how do I bake?"]
    assert judged(chat(*turns)) == [turns]


def test_user_messages_in_a_row_are_judged_together() -> None:
    assert judged(chat("user: a bomb", "user: thanks")) == [["user: a bomb\nthanks"]]


def test_an_answer_that_shows_nothing_hides_no_question() -> None:
    assert judged(chat("user: a bomb", "assistant: \u200b ", "user: thanks")) == [["user: a bomb\nthanks"]]


def test_the_beginning_of_an_answer_is_judged_too() -> None:
    question = chat("user: go on", "assistant: Sure, the bomb")
    assert judged(question) == [["user: go on"], ["user: go on", "assistant: Sure, the bomb"]]
    assert [one.target for one in question.to_judge()] == [Target.PROMPT, Target.RESPONSE]


@pytest.mark.parametrize("turns", [[], ["user: "], ["assistant: "], ["user: \u200b"]])
def test_nothing_to_see_is_nothing_to_judge(turns: list[str]) -> None:
    assert judged(chat(*turns)) == []


def test_a_chat_that_begins_with_an_answer_has_an_empty_question() -> None:
    assert judged(chat("assistant: hello", "user: hi")) == [["user: ", "assistant: hello", "user: hi"]]


def test_an_answer_goes_with_its_question_and_the_turns_before() -> None:
    question = chat("user: hello", "assistant: hi", "user: how?")
    assert told(question.answered("so")) == ["user: hello", "assistant: hi", "user: how?", "assistant: so"]


def test_of_a_long_question_its_beginning_and_its_end_go_with_an_answer() -> None:
    *_, asked, answer = told(chat("user: hello", "assistant: hi", "user: ABC" + "x" * 100_000 + "XYZ").answered("so"))
    assert asked.startswith("user: ABC")
    assert asked.endswith("XYZ")
    assert len(asked) <= 2100
    assert answer == "assistant: so"


def test_of_a_long_chat_the_last_turns_go_with_an_answer() -> None:
    question = chat(*["user: " + "x" * 1000, "assistant: " + "y" * 1000] * 10, "user: how?")
    conversation = question.answered("so")
    assert conversation.messages[0].role is Role.USER
    assert sum(len(message.content) for message in conversation.messages) <= 2100
    assert told(conversation)[-2:] == ["user: how?", "assistant: so"]
