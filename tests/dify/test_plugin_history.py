"""Earlier turns: whatever a builder binds to `history` is read, and what comes back fits into a variable."""

from __future__ import annotations

import json

import pytest
from samples import SAFE, SAFE_ANSWER, UNSAFE, UNSAFE_ANSWER

pytestmark = pytest.mark.dify

TURNS = [{"role": "user", "content": "it's me"}, {"role": "assistant", "content": 'Say "hi",\nor 你好 \\o/'}]


@pytest.fixture
def judged(invoke, fake):
    """The messages that the service is asked about with this history."""

    def ask(history, query="and now?"):
        fake.decide()
        found = invoke("prompt_check", {"base_url": fake.url}, query=query, history=history)
        assert found["error"] == ""
        [(headers, body)] = fake.requests
        assert "authorization" not in headers
        return body.get("messages", [])[:-1]

    return ask


@pytest.mark.parametrize(
    "history",
    [
        TURNS,
        json.dumps(TURNS),
        json.dumps(TURNS, ensure_ascii=False, indent=2),
        str(TURNS),
        str([{"role": "system", "content": "left out", "files": None, "ok": True}, *TURNS]),
        str([{**TURNS[0], "name": None}, {"role": "assistant", "content": None, "tool_calls": [1]}, TURNS[1]]),
        [{"query": TURNS[0]["content"], "answer": TURNS[1]["content"], "id": 7}],
        [{"role": "Human", "text": TURNS[0]["content"]}, {"role": "ai", "content": TURNS[1]["content"]}],
        [{"role": "user", "content": [{"type": "text", "text": "it's me"}]}, TURNS[1]],
        f"Human: {TURNS[0]['content']}\nAssistant: {TURNS[1]['content']}",
        f"\nuser: {TURNS[0]['content']}\n\nAI：{TURNS[1]['content']}\n",
        [f"用户：{TURNS[0]['content']}", f"助手：{TURNS[1]['content']}"],
    ],
    ids=[
        "list", "json", "indented", "python", "python-system", "python-tools", "pairs", "other-names", "parts",
        "prose", "prose-user", "list-of-prose",
    ],
)  # fmt: skip
def test_every_shape_of_a_history_is_read(judged, history):
    assert judged(history) == TURNS


@pytest.mark.parametrize("history", [None, "", " ", "null", "None", "[]", [], "undefined"])
def test_no_history_is_none(judged, history):
    assert judged(history) == []


def test_the_newest_twenty_count(judged):
    turns = [{"role": ("user", "assistant")[number % 2], "content": f"turn {number}"} for number in range(25)]
    assert judged(turns) == turns[-20:]


@pytest.mark.parametrize(
    "history",
    ["{}", '[{"role": "user"}]', '["hi"]', "we spoke of bread", "[" * 9000, "['" + "\\" * 9001, [7], [{"role": "x"}],
     "[__import__('os')]", "x: 1\nHuman: hi", '[{"role": "user", "content": {"a": 1}}]'],
)  # fmt: skip
def test_a_history_that_cannot_be_read_blocks_and_says_so(invoke, history):
    found = invoke("prompt_check", query="hi", history=history, on_error="allow")
    assert (found["safety"], found["action"]) == ("Error", "block")
    assert found["error"].startswith("history must be")
    assert found["message"] == "The safety check of this app is not set up correctly. Please tell its owner."


def test_a_long_hostile_history_takes_no_time(invoke):
    for history in ("['" + "\\'" * 200_000, "'" * 400_001, "[" + "-" * 300_000 + "1]", "Human:" * 60_000):
        assert invoke("prompt_check", query="", history=history)["safety"] == "Safe"
        invoke("output_check", answer="", history=history)


def test_an_answer_is_judged_with_the_earlier_turns_and_its_question(invoke, fake):
    fake.decide(target="response")
    found = invoke("output_check", {"base_url": fake.url}, query="and?", answer="well", history=str(TURNS))
    last = [{"role": "user", "content": "and?"}, {"role": "assistant", "content": "well"}]
    assert fake.requests[0][1]["messages"] == [*TURNS, *last]
    assert json.loads(found["next_history"]) == [*TURNS, *last]


def test_the_next_history_is_read_the_next_time_and_leaves_out_what_was_withheld(invoke):
    first = invoke("output_check", query=SAFE, answer=SAFE_ANSWER)["next_history"]
    assert json.loads(first) == [
        {"role": "user", "content": SAFE},
        {"role": "assistant", "content": SAFE_ANSWER},
    ]
    blocked = invoke("output_check", query=UNSAFE, answer=UNSAFE_ANSWER, history=first)
    assert (blocked["action"], blocked["next_history"]) == ("block", first)
    asked = invoke("prompt_check", query="And with rye?", history=first)
    assert (asked["error"], asked["next_history"]) == ("", first)


def test_the_next_history_stays_small(invoke, fake):
    fake.decide(target="response")
    turns = [{"role": "user", "content": "x" * 9000}] * 30
    found = invoke("output_check", {"base_url": fake.url}, query="q", answer="a", history=turns)["next_history"]
    assert json.loads(found)[-1]["content"] == "a"
    assert len(found) < 65_000


def test_a_place_in_the_text_is_passed_on_where_the_service_names_one(invoke, fake):
    credentials = {"base_url": fake.url}
    fake.decide(span={"start": 2, "end": 5}, coverage="partial")
    found = invoke("prompt_check", credentials, query="hello there")
    assert (found["span"], found["coverage"]) == ({"start": 2, "end": 5}, "partial")
    # Two questions in a row are judged as one text, whose places are not those of the last question.
    found = invoke("prompt_check", credentials, query="hello there", history=TURNS[:1])
    assert found["span"] == {}
    for span in (
        None,
        {"start": 5, "end": 2},
        {"start": -1, "end": 2},
        {"start": 0, "end": 99},
        [1, 2],
        {"start": True},
    ):
        fake.replies.clear()
        fake.decide(span=span, coverage="most")
        found = invoke("prompt_check", credentials, query="hello there")
        assert (found["span"], found["coverage"], found["safety"]) == ({}, "", "Safe")
