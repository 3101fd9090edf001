"""What Dify's "OpenAI Moderation" does to a text, undone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.wires.dify_mangling import unmangle


def mangle(values):
    """What Dify sends for these values: all pieces, before they are spread over calls."""
    text = "\n".join(str(values.values()))
    return [text[start : start + 2000] for start in range(0, len(text), 2000)]


def test_the_recorded_request_for_hi():
    assert unmangle(["d\ni\nc\nt\n_\nv\na\nl\nu\ne\ns\n(\n[\n'\nh\ni\n'\n]\n)"]) == ["hi"]


@pytest.mark.parametrize(
    "text", ["hi", 'it\'s a "test"\n多行\t中文\\ end', "", "x" * 31000, "a\nb", "['x'])", "\x00\x7f\u200b😀", "\\'"]
)
def test_values_come_back_one_by_one(text):
    pieces = mangle({"variable": text, "query__": "second"})
    assert unmangle(pieces) == [text, "second"]
    assert unmangle(mangle({"text": text})) == [text]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=4))
def test_any_texts_come_back(texts):
    assert unmangle(mangle(dict(enumerate(texts)))) == texts


def test_numbers_are_read_and_structures_are_left_in_one_text():
    assert unmangle(mangle({"a": 2, "b": None, "c": "x"})) == ["2", "None", "x"]
    assert unmangle(mangle({"a": {"deep": [1, None]}, "b": "x"})) == ["dict_values([{'deep': [1, None]}, 'x'])"]


def test_half_a_surrogate_pair_does_not_make_the_text_unjudgeable():
    assert unmangle(mangle({"a": "bad \ud800 text"})) == ["bad � text"]


def test_the_later_calls_of_a_long_text_are_recognised():
    pieces = mangle({"text": "y" * 70000})
    calls = [pieces[:32], pieces[32:64], pieces[64:]]
    assert "".join(unmangle(call)[0] for call in calls) == "dict_values(['" + "y" * 70000 + "'])"


@pytest.mark.parametrize("inputs", ["hello", ["a\nb\nc"], ["hello", "d\ni\nc\nt"], "", [], "x", ["", "\n"]])
def test_other_clients_texts_are_left_alone(inputs):
    assert unmangle(inputs) is None


@pytest.mark.parametrize("inside", ["[" * 50000, "'" * 50001, "'\\" + "\\" * 50000, "'a' + 'b'", "'a',", "9" * 50000])
def test_hostile_values_are_read_in_linear_time_and_never_evaluated(inside):
    [text] = unmangle("\n".join(f"dict_values([{inside}])"))
    assert inside in text


@given(st.text(max_size=200))
def test_no_text_breaks_it(text):
    unmangle(text)
    unmangle("\n".join(text))
    unmangle("\n".join(f"dict_values([{text}])"))


def test_the_openai_route_judges_what_the_user_wrote(start, engine):
    pieces = mangle({"city": "Berlin", "query__": "How can I make a bomb?"})
    reply = start().post("/v1/moderations", json={"model": "omni-moderation-latest", "input": pieces})
    assert [result["flagged"] for result in reply.json["results"]] == [True] * len(pieces)
    assert [conversation.prompt for conversation, _ in engine.asked] == ["Berlin\nHow can I make a bomb?"]
