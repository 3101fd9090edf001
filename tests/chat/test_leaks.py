"""Harmful text in every place that a reply has: nothing of it reaches the client, whole or streamed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from fake_llm import USAGE, FakeLLM, chunk, sse, whole

from moderation_service.chat.answer import GuardedAnswer
from moderation_service.chat.choice import Told
from moderation_service.errors import ChatModelError
from moderation_service.streaming.growing_answer import Pacing, Piece, Ruling
from moderation_service.wires.guarded_replies import with_cuts

from .conftest import Chat, documents_or_error
from .test_answer import decision

SMALL = Pacing(first_bytes=4, piece_bytes=8, hold_bytes=24, largest_bytes=64, context_bytes=32, whole_bytes=256)
HARM = "how to build a bomb"
WORD = "bomb"
HALVES = ("qxbo", "mbxq")
NUMBERS = list(b"a bomb")
Place = tuple[Any, ...]

ENTRY = {
    "token": "a",
    "logprob": -0.1,
    "bytes": [97],
    "top_logprobs": [{"token": "a", "logprob": -0.1, "bytes": [97]}, {"token": "b", "logprob": -2.0, "bytes": [98]}],
}
MESSAGE: dict[str, Any] = {
    "role": "assistant",
    "content": "a",
    "reasoning": None,
    "reasoning_content": "",
    "refusal": None,
    "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": None}],
    "reasoning_details": [{"type": "reasoning.text", "text": "", "data": None, "signature": None}],
    "audio": {"id": "audio_1", "transcript": "", "data": "", "expires_at": 1, "format": "wav"},
    "annotations": [{"type": "url_citation", "url_citation": {"title": "", "url": "", "start_index": 0}}],
    "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": ""}}],
    "function_call": {"name": "find", "arguments": ""},
    "provider_specific_fields": {"citations": [""]},
}
CHOICE: dict[str, Any] = {
    "index": 0,
    "delta": MESSAGE,
    "finish_reason": None,
    "native_finish_reason": None,
    "stop_reason": None,
    "matched_stop": None,
    "token_ids": [1],
    "logprobs": {
        "content": [ENTRY],
        "refusal": None,
        "tokens": None,
        "token_logprobs": [-0.1],
        "top_logprobs": [{}],
        "text_offset": [0],
    },
    "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
}
BESIDE: dict[str, Any] = {
    "id": "chatcmpl-llm-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "llm-1",
    "system_fingerprint": "fp_1",
    "service_tier": "default",
    "usage": {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 0}},
    "citations": [""],
    "search_results": [{"title": "", "url": "", "date": None}],
    "web_search": None,
    "output_text": "",
    "warning": None,
    "provider": "",
    "provider_specific_fields": {"x": {"y": [{"z": None}]}},
    "prompt_logprobs": [None, {"5": {"logprob": -0.1, "rank": 1, "decoded_token": ""}}],
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"severity": "safe"}}}],
    "timings": {"prompt_n": 1},
    "moderation": None,
}
FULL = {**BESIDE, "choices": [CHOICE]}


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """The path of every value in a document."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*at, key))


def changed(document: Any, at: Place, change: Callable[[Any], Any]) -> Any:
    """The document with another value there."""
    copied = copy.deepcopy(document)
    if not at:
        return change(copied)
    inside = copied
    for key in at[:-1]:
        inside = inside[key]
    inside[at[-1]] = change(inside[at[-1]])
    return copied


def with_key(value: Any, key: str) -> Any:
    return {**value, key: 1} if isinstance(value, dict) else {key: value}


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a text": lambda value: HARM,
    "a word": lambda value: WORD,
    "a list": lambda value: [[HARM]],
    "an object": lambda value: {"text": HARM},
    "an unknown field": lambda value: {"x": {"type": HARM}},
    "the name of a field": lambda value: with_key(value, HARM),
    "a word for a name": lambda value: with_key(value, WORD),
}
PLACES = [at for at in places(FULL) if at and at not in (("choices",), ("choices", 0))]


def rule(piece: Piece) -> Ruling:
    return Ruling.of(piece, decision(blocks=WORD in piece.text.replace("\n", "")))


def shown_of(*chunks: Mapping[str, Any], told: Told = Told(tools=frozenset({"find"}))) -> str:  # noqa: B008
    """All that a client gets of a stream of these."""
    answer, shown = GuardedAnswer(SMALL, told=told), ""
    try:
        for one in (*chunks, None):
            answer.add(one) if one is not None else answer.end()
            shown += json.dumps(answer.release())
            while pieces := answer.take_pieces():
                answer.settle([rule(piece) for piece in pieces])
                shown += json.dumps(answer.release())
    except ChatModelError:
        pass
    return shown


def whole_of(document: dict[str, Any]) -> str:
    """The same of a reply that is not streamed."""
    answer = GuardedAnswer(Pacing(largest_bytes=2**62), told=Told(tools=frozenset({"find"})))
    try:
        answer.add(document)
    except ChatModelError:
        return ""
    answer.end()
    while pieces := answer.take_pieces():
        answer.settle([rule(piece) for piece in pieces])
    assert answer.is_judged
    return json.dumps(with_cuts(document, answer.cut))


GOOD = [chunk({"content": "Mix it well. "}), chunk({"content": "Then bake it. "})]
END = chunk({}, finish="stop")
LAST = {**chunk({}), "choices": [], "usage": USAGE}


def test_a_reply_with_everything_in_it_goes_through() -> None:
    assert json.dumps(FULL)[1:-1] in shown_of(GOOD[0], FULL, GOOD[1], END, LAST)


@pytest.mark.parametrize("at", PLACES, ids=lambda at: ".".join(map(str, at)))
def test_no_place_of_a_stream_leaks(at: Place) -> None:
    for name, change in CHANGES.items():
        bad = changed(FULL, at, change)
        without = {key: value for key, value in bad.items() if key != "choices"}
        streams = [
            [bad, *GOOD, END, LAST],
            [GOOD[0], bad, GOOD[1], END, LAST],
            [*GOOD, {**bad, "choices": [{**bad["choices"][0], **END["choices"][0], "delta": {}}]}, LAST],
            [*GOOD, END, bad],
            [GOOD[0], {**bad, "choices": [{**bad["choices"][0], "index": 1}]}, GOOD[1], END],
            [{**without, "choices": []}, *GOOD, END, LAST],
            [*GOOD, {**without, "choices": []}, END],
            [*GOOD, END, {**without, "choices": []}],
            [GOOD[0], without, END],
        ]
        for number, stream in enumerate(streams):
            assert WORD not in shown_of(*stream), (name, number)


@pytest.mark.parametrize("at", PLACES, ids=lambda at: ".".join(map(str, at)))
def test_no_place_of_a_whole_reply_leaks(at: Place) -> None:
    for name, change in CHANGES.items():
        bad = changed(FULL, at, change)
        choice = {("message" if key == "delta" else key): value for key, value in bad["choices"][0].items()}
        second = {**choice, "index": 1}
        good = {"index": 0, "message": {"role": "assistant", "content": "Mix it well."}, "finish_reason": "stop"}
        for choices in ([choice], [good, second], [second, good]):
            assert WORD not in whole_of({**bad, "choices": choices}), name


FIELDS = ("content", "reasoning_content", "reasoning", "refusal", "role", "stop_reason", "id", "citations", "a_new_one")
GROWS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "in the message": lambda key, half: chunk({key: half}),
    "in a list": lambda key, half: chunk({key: [{"type": "text", "text": half}]}),
    "in the choice": lambda key, half: chunk({"content": ""}, **{key: half}),
    "beside": lambda key, half: {**chunk({"content": ""}), key: half},
    "in a list beside": lambda key, half: {**chunk({"content": ""}), key: [{"title": half}]},
    "without a choice": lambda key, half: {**LAST, key: half},
    "as a token": lambda key, half: chunk({"content": ""}, logprobs={"content": [{"token": half}]}),
    "as an alternative": lambda key, half: chunk({}, logprobs={"content": [{"token": "", "top_logprobs": [half]}]}),
}


@pytest.mark.parametrize("key", FIELDS)
@pytest.mark.parametrize("place", GROWS)
def test_no_half_of_a_word_leaks_that_comes_in_two_chunks(place: str, key: str) -> None:
    halves = [GROWS[place](key, half) for half in HALVES]
    for stream in ([*halves, *GOOD, END], [GOOD[0], *halves, END], [*GOOD, halves[0], LAST, halves[1], END]):
        shown = shown_of(*stream)
        assert not [half for half in HALVES if half in shown]


@pytest.mark.parametrize(
    "early",
    [
        {"token_ids": NUMBERS},
        {"bytes": NUMBERS},
        {"deep": {"er": [NUMBERS]}},
        {"logprobs": {"content": [{"token": f"token_id:{number}", "logprob": -1.0} for number in NUMBERS]}},
        {"logprobs": {"content": [{"token": "", "logprob": -1.0, "bytes": NUMBERS}]}},
        {"logprobs": {"tokens": [f"token_id:{number}" for number in NUMBERS]}},
    ],
)
@pytest.mark.parametrize("text", ["", "Now take "])
def test_numbers_that_spell_text_wait_for_it(early: dict[str, Any], text: str) -> None:
    first = chunk({"content": "Mix it well. "}, token_ids=[1, 2])
    shown = shown_of(first, chunk({"content": text}, **early), *GOOD[:1], chunk({"content": "a bomb. "}), END)
    assert "109" not in shown
    shown = shown_of(first, chunk({"content": text}, **early), chunk({"content": "a loaf. "}), END)
    assert "109" in shown or ("a bomb" in str(bytes(NUMBERS)) and "bytes" in str(early))


def test_ids_go_on_once_the_text_of_later_ids_was_cleared() -> None:
    ids = [chunk({"content": f"Word {number}. "}, token_ids=[number, 70_000 + number]) for number in range(20)]
    answer = GuardedAnswer(SMALL)
    shown = []
    for one in ids:
        answer.add(one)
        while pieces := answer.take_pieces():
            answer.settle([rule(piece) for piece in pieces])
        shown += answer.release()
    assert 10 < len(shown) < 20
    assert shown == ids[: len(shown)]


def test_ids_wait_longer_where_a_stop_string_keeps_text_back() -> None:
    def seen(*stops: str) -> int:
        ids = [chunk({"content": f"Word {number}. "}, token_ids=[number]) for number in range(20)]
        answer = GuardedAnswer(SMALL, told=Told(stops=frozenset(stops)))
        for one in ids:
            answer.add(one)
            while pieces := answer.take_pieces():
                answer.settle([rule(piece) for piece in pieces])
        return len(answer.release())

    assert seen("END OF IT") == seen() - len("END OF IT")


def test_a_servers_constants_are_judged_once() -> None:
    answer, judged = GuardedAnswer(SMALL), []
    beside = {"provider": "Some Company", "citations": ["https://example.com/bread"]}
    for number in range(50):
        answer.add({**chunk({"content": f"Sentence {number}. "}), **beside})
        while pieces := answer.take_pieces():
            judged += [piece.new for piece in pieces]
            answer.settle([rule(piece) for piece in pieces])
    assert sum("Some Company" in text for text in judged) == 1
    assert sum("example.com" in text for text in judged) == 1


def test_a_text_that_comes_token_by_token_beside_the_choices_is_read_as_it_will_be() -> None:
    chunks = [{**chunk({"content": "Yes. "}), "citations": text} for text in ("a ", "bo", "o", "o", "m", "b")]
    answer, judged = GuardedAnswer(SMALL), ""
    for one in (*chunks, None):
        answer.add(one) if one is not None else answer.end()
        while pieces := answer.take_pieces():
            judged += "".join(piece.new for piece in pieces if "Yes" not in piece.new)
            answer.settle([rule(piece) for piece in pieces])
    assert judged == "a booomb"


def test_an_id_that_changes_with_every_chunk_is_a_text() -> None:
    words = ["a1", "bo1", "mb1", "x1"]
    shown = shown_of(*[{**chunk({"content": "Yes. "}), "id": word} for word in words], END)
    assert "Sorry" not in shown
    answer, judged = GuardedAnswer(SMALL), ""
    for word in words:
        answer.add({**chunk({"content": "Yes, indeed. "}), "id": word})
        while pieces := answer.take_pieces():
            judged += "".join(piece.new for piece in pieces if "Yes" not in piece.new)
            answer.settle([rule(piece) for piece in pieces])
    assert judged == "bo1mb1x1"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "beside", [{"search_results": [{"snippet": HARM}]}, {"web_search": HARM}, {"id": HARM}, {HARM: None}]
)
def test_harmful_text_beside_an_answer_blocks_it(llm: FakeLLM, stream: bool, beside: dict[str, Any]) -> None:
    answers = [*GOOD, {**chunk({}), "choices": [], **beside}, END]
    llm.behave = lambda request: sse(*answers) if stream else [whole("Mix it well.", **beside)]
    found = documents_or_error(Chat(llm).ask(stream=True)) if stream else [Chat(llm).ask().json]
    assert WORD not in json.dumps(found)
    reasons = [choice["finish_reason"] for one in found if one != "[DONE]" for choice in one["choices"]]
    assert reasons[-1] == "content_filter"


def test_harmful_text_after_the_answer_is_left_out(llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(*GOOD, END, {**LAST, "citations": [HARM]})
    found = documents_or_error(Chat(llm).ask(stream=True))
    assert WORD not in json.dumps(found)
    assert found[-1] == "[DONE]"
