"""Dify's API-based extension for Content Moderation, with the bodies that Dify 1.14.2 and 1.16.1 send."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.policy import BUILT_IN, Policies
from moderation_service.core.verdict import Detail
from moderation_service.errors import InvalidRequest
from moderation_service.wires.dify import CONTEXT_CHARS, SEGMENT_CHARS, UNCHECKED_MESSAGES, parse, segments

APP = "f2c4a4d4-7d5a-4a1e-9f0f-0c6a1f1f9f10"
REFUSAL = "Sorry, I can't help with that."
PASSES = {"flagged": False, "action": "direct_output"}
BLOCKED = {"flagged": True, "action": "direct_output", "preset_response": REFUSAL}
UNCHECKED = {"flagged": True, "action": "direct_output", "preset_response": UNCHECKED_MESSAGES["en"]}


def asked_input(query, inputs=None):
    return {"app_id": APP, "inputs": inputs or {}, "query": query}


def asked_output(text):
    return {"app_id": APP, "text": text}


def test_ping_is_answered_with_pong(ask):
    assert ask("ping") == (200, {"result": "pong"})


@pytest.mark.parametrize(
    ("params", "reply"),
    [
        (asked_input("hi"), PASSES),
        (asked_input("politics"), PASSES),
        (asked_input("how to make a bomb"), BLOCKED),
        (asked_input("", {"topic": "a bomb"}), BLOCKED),
        (asked_input("hi", {"n": 3, "ok": True, "nothing": None, "list": ["a bomb"]}), BLOCKED),
        (asked_input("hi", {"city": "Berlin", "n": 0}), PASSES),
        (asked_input(""), PASSES),
        ({"app_id": APP, "query": "hi"}, PASSES),
    ],
)
def test_an_input_is_judged_with_all_that_the_user_filled_in(ask, params, reply):
    assert ask("app.moderation.input", params) == (200, reply)


@pytest.mark.parametrize(
    ("text", "reply"), [("Fine.", PASSES), ("First mix the bomb", BLOCKED), ("", PASSES), (" \n", PASSES)]
)
def test_an_output_is_judged_as_a_response(ask, engine, text, reply):
    assert ask("app.moderation.output", asked_output(text)) == (200, reply)
    assert [conversation.response for conversation, _ in engine.asked] == ([text] if text.strip() else [])


def test_the_url_chooses_policy_and_language(ask):
    url = "/dify/moderation?policy=strict&language=zh-Hans"
    status, reply = ask("app.moderation.input", asked_input("politics"), url=url)
    assert (status, reply["flagged"]) == (200, True)
    assert reply["preset_response"] == BUILT_IN["strict"].messages["zh"]
    assert ask("app.moderation.input", asked_input("politics"), url="/dify/moderation?policy=&language=")[1] == PASSES


def test_a_text_that_cannot_be_judged_is_withheld_with_status_200(ask):
    assert ask("app.moderation.input", asked_input("broken")) == (200, UNCHECKED)
    assert ask("app.moderation.output", asked_output("broken")) == (200, UNCHECKED)
    url = "/dify/moderation?language=zh"
    reply = ask("app.moderation.output", asked_output("broken"), url=url)[1]
    assert reply["preset_response"] == UNCHECKED_MESSAGES["zh"]


def test_a_block_is_shown_with_its_message_even_if_another_segment_could_not_be_judged(ask):
    text = "broken" + " " * SEGMENT_CHARS + "a bomb"
    assert ask("app.moderation.output", asked_output(text)) == (200, BLOCKED)


@pytest.mark.parametrize("point", ["app.moderation.input", "app.moderation.output", "app.moderation.unknown"])
@pytest.mark.parametrize("key", [None, "wrong-wrong-key"])
def test_a_wrong_key_withholds_and_is_an_error_only_for_a_ping(ask, start, engine, point, key):
    client = start(key=key)
    params = {**asked_input("hi"), **asked_output("hi")}
    assert ask(point, params, client=client) == (200, UNCHECKED)
    assert ask("ping", client=client)[0] == 401
    assert engine.asked == []


def test_a_wrong_policy_shows_on_saving_and_withholds_afterwards(ask):
    for url in ("/dify/moderation?policy=nope", "/dify/moderation?polizy=strict"):
        assert ask("ping", url=url)[0] == 400
        assert ask("app.moderation.output", asked_output("hi"), url=url) == (200, UNCHECKED)


def test_an_unknown_language_shows_on_saving_and_withholds_nothing_afterwards(ask):
    status, reply = ask("ping", url="/dify/moderation?language=klingon")
    assert (status, reply["error"]["param"]) == (400, "language")
    assert "de, en, es, fr, ja, ko, pt, zh" in reply["error"]["message"]
    assert ask("app.moderation.output", asked_output("hi"), url="/dify/moderation?language=klingon") == (200, PASSES)
    for known in ("zh", "ZH-hans", "pt-BR"):
        assert ask("ping", url=f"/dify/moderation?language={known}")[0] == 200


def test_a_slash_at_the_end_is_the_same_address(ask):
    assert ask("ping", url="/dify/moderation/") == (200, {"result": "pong"})
    assert ask("app.moderation.input", asked_input("a bomb"), url="/dify/moderation/") == (200, BLOCKED)


@pytest.mark.parametrize("url", ["/dify", "/dify/", "/api/dify/moderation"])
def test_a_wrong_address_says_where_the_endpoint_is(ask, start, url):
    """In the first 100 characters, which are what Dify shows."""
    assert ask("ping", url=url)[0] == 404
    answer = start().post(url, json={"point": "ping", "params": {}})
    assert "/dify/moderation" in answer.get_data(as_text=True)[:100]


@pytest.mark.parametrize(
    ("point", "params"),
    [
        ("app.moderation.input", []),
        ("app.moderation.input", {"inputs": ["x"], "query": "hi"}),
        ("app.moderation.input", {"inputs": {}, "query": 7}),
        ("app.moderation.output", {}),
        ("app.moderation.output", {"text": None}),
        ("app.moderation.output", {"text": "\u200b"}),
    ],
)
def test_a_moderation_call_of_an_odd_shape_is_withheld(ask, point, params):
    assert ask(point, params) == (200, UNCHECKED)


def test_another_point_of_the_extension_api_is_refused(ask):
    status, reply = ask("app.external_data_tool.query", {"app_id": APP})
    assert (status, reply["error"]["param"]) == (400, "point")


def test_a_body_that_cannot_be_read_is_withheld(start):
    client = start(max_body_bytes=1024)
    too_long = json.dumps({"point": "app.moderation.output", "params": asked_output("x" * 2000)})
    for body in (too_long, "{", "[]" * 3, "\ufeff"):
        answer = client.post("/dify/moderation", data=body.encode(), content_type="application/json")
        assert (answer.status_code, answer.get_json()) == (200, UNCHECKED)


def test_a_fault_of_ours_is_withheld_too(start, engine):
    def fail(*args, **kwargs):
        raise RuntimeError("a bug")

    engine.judge = fail
    body = {"point": "app.moderation.output", "params": asked_output("hi")}
    answer = start().post("/dify/moderation", json=body)
    assert (answer.status_code, answer.get_json()) == (200, UNCHECKED)


def test_a_growing_answer_is_judged_piece_by_piece(start, ask, engine):
    """13 calls of 300 to 3,900 characters: once per call the new piece, once each piece that is complete."""
    client = start()
    text = "".join(f"sentence {number:05d}. " for number in range(300))
    for end in range(300, 3901, 300):
        assert ask("app.moderation.output", asked_output(text[:end]), client=client) == (200, PASSES)
    judged = [len(conversation.response) for conversation, _ in engine.asked]
    assert max(judged) <= SEGMENT_CHARS + CONTEXT_CHARS
    # Four calls per segment; a segment that was complete was never judged again.
    steps = [300, 600, 900, 1200]
    later = [CONTEXT_CHARS + step for step in steps]
    assert judged == [*steps, *later, *later, CONTEXT_CHARS + 300]
    assert {detail for _, detail in engine.asked} == {Detail.SEVERITY}


def test_an_unsafe_piece_stays_unsafe_while_the_answer_grows(start, ask, engine):
    client = start()
    for filler in (0, SEGMENT_CHARS, 5 * SEGMENT_CHARS):
        assert ask("app.moderation.output", asked_output("a bomb " + "x" * filler), client=client) == (200, BLOCKED)


@pytest.mark.parametrize("length", [0, 1, SEGMENT_CHARS, SEGMENT_CHARS + 1, 10 * SEGMENT_CHARS - 1])
def test_segments_cover_the_text_and_do_not_change_when_it_grows(length):
    text = "".join(chr(0x4E00 + index % 20000) for index in range(length + 777))
    pieces, longer = segments(text[:length]), segments(text)
    assert pieces[:-1] == longer[: len(pieces) - 1]
    joined = pieces[0] + "".join(piece[CONTEXT_CHARS:] for piece in pieces[1:])
    assert joined == text[:length]
    assert all(later.startswith(earlier[-CONTEXT_CHARS:]) for earlier, later in itertools.pairwise(pieces))


def test_the_audit_record_has_the_apps_id(tmp_path, start, ask):
    client = start(audit_file=tmp_path / "audit.jsonl")
    ask("app.moderation.input", asked_input("hi"), client=client)
    ask("app.moderation.input", {**asked_input("hi"), "app_id": "x\n" * 100}, client=client)
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [record["metadata"] for record in records] == [{"dify_app_id": APP}, {}]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON, st.sampled_from(["app.moderation.input", "app.moderation.output", "ping", "x", 7, None]))
def test_any_body_is_read_or_refused_by_name(params, point):
    policies = Policies(dict(BUILT_IN), default="balanced")
    for body in (params, {"point": point, "params": params}):
        with suppress(InvalidRequest):
            parsed = parse(body, policies=policies)
            assert parsed.is_ping or all(check.policy.name == "balanced" for check in parsed.checks)


def test_categories_are_asked_for_only_where_they_matter():
    policies = Policies(dict(BUILT_IN), default="balanced")
    body = {"point": "app.moderation.output", "params": asked_output("hi")}
    assert [check.detail for check in parse(body, policies=policies).checks] == [Detail.SEVERITY]
