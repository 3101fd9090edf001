"""`POST /moderate` with a form, for builders whose JSON templates a user's quote can break out of."""

from __future__ import annotations

import pytest

FORM = "application/x-www-form-urlencoded"


def test_a_form_is_judged_like_the_same_json(start):
    client = start()
    form = client.post("/moderate", data={"prompt": 'politics & "quotes", 中文', "policy": "strict"}).get_json()
    assert (form["safety"], form["action"], form["target"]) == ("controversial", "block", "prompt")
    form = client.post("/moderate", data={"prompt": "hi", "response": "a bomb", "policy": ""}).get_json()
    assert (form["safety"], form["policy"], form["target"]) == ("unsafe", "balanced", "response")


def test_a_text_cannot_add_fields(start, engine):
    text = 'a bomb", "prompt": "hello", "policy": "loose&policy=loose'
    reply = start().post("/moderate", data={"prompt": text, "policy": "strict"}).get_json()
    assert (reply["action"], reply["policy"]) == ("block", "strict")
    assert [conversation.prompt for conversation, _ in engine.asked] == [text]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"prompt=a&prompt=b", None),
        (b"prompt=%FF", None),
        (b"\xff=1", None),
        (b"prompt", None),
        (b"", "prompt"),
        (b"&".join(b"a%d=1" % number for number in range(20)), None),
        (b"prompt=hi&promt=x", "promt"),
        (b"inputs=[]", "inputs"),
        (b"messages=[]", "messages"),
        (b"prompt=hi&policy=nope", "policy"),
    ],
)
def test_a_form_that_is_not_exactly_right_is_refused(start, body, param):
    answer = start().post("/moderate", data=body, content_type=FORM)
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, param)


def test_a_web_page_cannot_send_a_form(start, engine):
    """Browsers ask before they send JSON to another site, and do not ask before they send a form."""
    answer = start(key=None).post("/moderate", data={"prompt": "hi"}, headers={"Origin": "https://example.com"})
    assert answer.status_code in (401, 415)
    answer = start().post("/moderate", data={"prompt": "hi"}, headers={"Origin": "null"})
    assert (answer.status_code, engine.asked) == (415, [])


def test_a_form_has_the_size_limit_of_any_body(start):
    client = start(max_body_bytes=2 * 1024 * 1024)
    assert client.post("/moderate", data={"prompt": "a " * 400_000}).status_code == 200
    assert client.post("/moderate", data={"prompt": "a " * 1_100_000}).status_code == 413
