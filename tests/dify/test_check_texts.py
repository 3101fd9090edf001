"""The node "Check texts": many texts in one call, the safe ones back, and a reason for each of the others."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_service import DECISION
from samples import SAFE, SAFE_ANSWER, SAFE_ZH, UNSAFE, UNSAFE_ANSWER, UNSAFE_ZH, WORD_CONTROVERSIAL

from moderation_service.core.policy import DEFAULT_MESSAGES
from moderation_service.wires.dify import UNCHECKED_MESSAGES

pytestmark = pytest.mark.dify

CHUNKS = [
    {"title": "bread.md", "content": SAFE_ANSWER, "metadata": {"score": 0.9, "_source": "knowledge"}},
    {"title": "harm.md", "content": UNSAFE_ANSWER, "metadata": {"score": None}},
]


@pytest.fixture
def check(invoke):
    """Calls the node and checks what holds for every outcome: each text is either kept or withheld with a reason."""

    def call(texts=None, credentials=None, **parameters):
        found = invoke("check_texts", credentials, texts=texts, **parameters)
        assert len(found["results"]) == found["safe_count"] + found["withheld_count"]
        assert found["safe_count"] == len(found["safe_texts"])
        assert found["withheld_count"] == len(found["withheld"]) == len(found["reasons"])
        kept = [one["position"] for one in found["results"] if one["kept"]]
        assert sorted([*kept, *found["withheld"]]) == list(range(1, len(found["results"]) + 1))
        assert found["message"] or found["is_safe"]
        return found

    return call


def test_the_safe_ones_come_back_in_their_order_with_a_reason_for_the_others(check):
    found = check([SAFE, UNSAFE, SAFE_ZH, UNSAFE_ZH], language="en")
    assert found["safe_texts"] == [SAFE, SAFE_ZH]
    assert found["safe_text"] == f"{SAFE}\n\n{SAFE_ZH}"
    assert (found["safe_items"], found["withheld"]) == ([], [2, 4])
    assert all(reason.startswith("Unsafe (Violent") for reason in found["reasons"])
    assert found["reasons_text"] == f"2: {found['reasons'][0]}; 4: {found['reasons'][1]}"
    assert (found["safety"], found["action"], found["is_safe"]) == ("Unsafe", "block", False)
    assert found["score"] > 0.5
    assert found["message"] == DEFAULT_MESSAGES["en"]
    assert UNSAFE not in json.dumps(found)


def test_safe_texts_all_pass(check):
    found = check([SAFE, SAFE_ZH])
    assert (found["safety"], found["action"], found["is_safe"]) == ("Safe", "allow", True)
    assert (found["reasons_text"], found["message"], found["error"]) == ("", "", "")


SHAPES = {"list": lambda c: c, "json": json.dumps, "python": str, "python-in-a-list": lambda c: [str(c)]}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_chunks_of_a_knowledge_base_keep_their_objects(check, shape):
    found = check(shape(CHUNKS))
    assert (found["safe_items"], found["safe_texts"], found["withheld"]) == ([CHUNKS[0]], [SAFE_ANSWER], [2])


def test_a_title_and_objects_without_content_are_judged_too(check, words):
    items = [{"title": "bomb", "content": "harmless"}, {"name": "x", "deep": {"text": "a bomb"}}, {"name": "bread"}]
    found = check(items, words.credentials())
    assert found["withheld"] == [1, 2]
    assert found["safe_texts"] == ['{"name": "bread"}']


@pytest.mark.parametrize(
    "harmful",
    [
        {"content": "harmless", "text": "bomb"},
        {"content": " ", "text": "bomb"},
        {"content": "harmless", "summary": "of a bomb"},
        {"content": "harmless", "metadata": {"doc_metadata": [{"note": "of a bomb"}]}},
        {"content": "harmless", "metadata": {"of a bomb": 1}},
        {"content": "harmless", "files": ["\u70b8\u5f39 bomb"]},
    ],
)
def test_what_comes_back_whole_is_judged_whole(check, words, harmful):
    harmless = {"content": "harmless", "metadata": {"document_id": "bomb-1", "score": 0.5}}
    found = check([harmful, harmless], words.credentials())
    assert (found["safe_items"], found["withheld"]) == ([harmless], [1])


def test_one_more_text_stands_behind_the_list(check):
    assert check([SAFE], text=UNSAFE)["withheld"] == [2]
    found = check(text=f"name: Ann\nabout: {SAFE_ANSWER}")
    assert found["safe_texts"] == [f"name: Ann\nabout: {SAFE_ANSWER}"]
    assert check(UNSAFE)["withheld"] == [1], "a text that is no list is one text"


def test_a_list_of_other_values_is_judged_as_text(check):
    assert check([1, True, None, 2.5, ["a"]])["safe_texts"] == ["1", "true", "", "2.5", '["a"]']


@pytest.mark.parametrize("empty", [None, [], "", "[]", "null", [""], [None], ["", " "]])
def test_nothing_to_check_is_safe_and_nobody_is_asked(check, empty):
    found = check(empty, {"base_url": "http://127.0.0.1:1"})
    assert (found["safety"], found["action"], found["error"]) == ("Safe", "allow", "nothing to check")
    assert (found["safe_text"], found["message"]) == ("", "There is no text to check.")


def test_what_to_keep_is_the_builders_choice(check, words):
    texts, credentials = ["bread", WORD_CONTROVERSIAL, "a bomb"], words.credentials()
    assert check(texts, credentials)["withheld"] == [2, 3]
    assert check(texts, credentials, keep="allowed")["withheld"] == [3]
    assert check(texts, credentials, keep="allowed", policy="strict")["withheld"] == [2, 3]


def test_answers_are_judged_as_answers(check, fake):
    fake.reply({"results": [{**DECISION, "target": "response"}]})
    check(["hi"], {"base_url": fake.url}, judge_as="answer", policy="strict", language="zh")
    headers, body = fake.requests[0]
    assert body == {"inputs": [{"response": "hi"}], "policy": "strict"}
    assert headers["accept-language"] == "zh"


def test_many_texts_are_one_call(check, fake):
    fake.reply({"results": [DECISION] * 200})
    assert check([f"text {number}" for number in range(200)], {"base_url": fake.url})["safe_count"] == 200
    assert len(fake.requests) == 1


def test_a_text_that_can_not_be_judged_is_withheld_and_the_others_are_not(check, words):
    found = check(["bread", "broken", "\u200b"], words.credentials())
    assert found["safe_texts"] == ["bread"]
    assert [reason.partition(" (")[0] for reason in found["reasons"]] == ["Error", "Error"]
    assert (found["safety"], found["action"], found["score"]) == ("Error", "block", 1.0)
    assert found["error"]
    kept = check(["bread", "broken", "\u200b"], words.credentials(), keep="allowed", on_error="allow")
    assert kept["withheld"] == [3], "what the sender can bring about on purpose never passes"


@pytest.mark.parametrize(
    ("on_error", "keep", "kept"), [("block", "allowed", 0), ("allow", "safe", 0), ("allow", "allowed", 2)]
)
def test_with_the_service_down_every_output_is_there(check, on_error, keep, kept):
    found = check([SAFE, SAFE], {"base_url": "http://127.0.0.1:1"}, on_error=on_error, keep=keep)
    assert (found["safety"], found["action"], found["safe_count"]) == ("Error", on_error, kept)
    assert found["message"] == UNCHECKED_MESSAGES["en"]
    assert "connection refused" in found["error"]


@pytest.mark.parametrize(
    "results",
    [None, [], [DECISION], [DECISION, None], [DECISION, {"safety": "safe"}], [DECISION, {**DECISION, "action": "pass"}],
     [DECISION, {**DECISION, "target": "response"}], [DECISION, {"error": "x"}]],
)  # fmt: skip
def test_a_result_that_is_no_verdict_is_never_a_pass(check, fake, results):
    fake.reply({"results": results})
    found = check(["one", "two"], {"base_url": fake.url}, on_error="block", keep="allowed")
    assert 2 in found["withheld"]
    assert (found["safety"], found["action"]) == ("Error", "block")


def test_more_texts_than_the_service_takes_are_withheld_with_the_reason(check):
    found = check(["x"] * 257, on_error="allow", keep="allowed")
    assert (found["withheld_count"], found["action"]) == (257, "block")
    assert found["error"] == "there are more texts at once than the service accepts"


def test_texts_of_megabytes_are_too_long_and_never_break_the_node(check):
    found = check(["好" * 900_000, "short"], on_error="allow", keep="allowed")
    assert (found["safe_texts"], found["action"]) == ([], "block")
    assert found["message"] == "文本过长，无法进行安全检查，请缩短后再试。"


def test_fifty_calls_at_once_are_all_answered_rightly(check):
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda number: check([SAFE, UNSAFE, f"{SAFE} {number}"]), range(50)))
    assert [one["withheld"] for one in found] == [[2]] * 50
    assert [one["safe_texts"][1] for one in found] == [f"{SAFE} {number}" for number in range(50)]
