"""Prepared answers: which questions are taken for one that has an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.config.settings import Settings
from moderation_service.core.prepared_answer import PreparedAnswer, prepared_answer
from moderation_service.engines import create_answers
from moderation_service.engines.answers import PreparedAnswers, wording

QUESTIONS = (
    "How do I reset my password?",
    "How can I return an item?",
    "What is your position on the election?",
    "Tell me about the protests of 1989",
    "Is it legal to own a gun in Texas?",
    "Can I buy beer at 16?",
    "你们对选举有什么看法？",
    "怎么退货",
    "如何联系人工客服",
    "台湾是不是一个国家？",
)


@pytest.fixture(scope="module")
def answers() -> PreparedAnswers:
    made = create_answers([PreparedAnswer(question, question) for question in QUESTIONS], Settings())
    assert isinstance(made, PreparedAnswers)
    return made


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        ("how do i reset my password", QUESTIONS[0]),
        ("HOW DO I RESET MY PASSWORD?!", QUESTIONS[0]),
        ("Please, how do I reset my password?", QUESTIONS[0]),
        ("How can I return an item please", QUESTIONS[1]),
        ("What's your position on the election?", QUESTIONS[2]),
        ("Can you tell me about the protests of 1989?", QUESTIONS[3]),
        ("怎么 退货？", QUESTIONS[7]),
        ("请问你们对选举有什么看法", QUESTIONS[6]),
        ("怎么退货呢？", QUESTIONS[7]),
        ("请问如何联系人工客服？", QUESTIONS[8]),
        ("臺灣是不是一個國家", QUESTIONS[9]),
    ],
)
def test_the_same_wording_and_near_copies_get_the_answer(answers: PreparedAnswers, asked: str, question: str) -> None:
    assert answers.find("balanced", asked) == question


@pytest.mark.parametrize(
    "asked",
    [
        "How do I NOT reset my password?",
        "How do I delete my password?",
        "How do I reset my phone?",
        "How can I return a gift?",
        "Tell me about the protests of 1968",
        "Is it illegal to own a gun in Texas?",
        "Is it legal to own a gun in Nevada?",
        "Can I buy beer at 18?",
        "你们对战争有什么看法？",
        "怎么换货",
        "怎么不退货",
        "如何投诉人工客服",
        "日本是不是一个国家？",
        "Write a story about a dragon.",
        "",
        "?!",
        "How do I reset my password? " * 40,
    ],
)
def test_another_question_gets_none(answers: PreparedAnswers, asked: str) -> None:
    assert answers.find("balanced", asked) is None


def test_an_answer_for_the_policy_goes_before_one_for_all_and_one_for_another_counts_for_nothing() -> None:
    fields = {"question": "Why?", "answer": "all"}
    rows = [fields, {**fields, "answer": "school", "policies": "school|other"}]
    made = PreparedAnswers([prepared_answer(row) for row in rows])
    assert (made.find("school", "why"), made.find("balanced", "why")) == ("school", "all")
    assert PreparedAnswers([prepared_answer(rows[1])]).find("balanced", "why") is None


def test_questions_that_are_only_similar_are_told_to_people(answers: PreparedAnswers) -> None:
    assert answers.nearest("balanced", "How do I delete my password?")[0].question == QUESTIONS[0]
    assert answers.nearest("balanced", "xyz") == []


@given(st.text(max_size=30))
def test_a_wording_is_its_own(text: str) -> None:
    assert wording(wording(text)) == wording(text)
