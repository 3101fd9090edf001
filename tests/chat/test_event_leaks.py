"""Responses and Messages: harmful text in every place and at every time, of which nothing reaches the client."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import fake_messages
import fake_responses
import pytest

from moderation_service.chat.events import GuardedEvents
from moderation_service.chat.messages import Messages
from moderation_service.chat.responses import Responses
from moderation_service.config.policy_file import load_policies
from moderation_service.core.conversation import Limits
from moderation_service.errors import ChatModelError
from moderation_service.streaming.growing_answer import Pacing, Ruling
from moderation_service.wires import messages_requests, responses_requests
from moderation_service.wires.guarded_chat import GuardedOptions
from moderation_service.wires.openai_models import Headers
from moderation_service.wires.responses_shown import BlockedEnd
from moderation_service.wires.sealed import Sealer

from .test_answer import PASSAGES, SPELLED, decision
from .test_leaks import CHANGES, HALVES, SMALL, WORD, changed, places, rule

POLICIES = load_policies(None, default="balanced")
SEALER = Sealer(b"key", None)
HARM = ("bomb", "b\u200bo\u200bm\u200bb")
WHOLE = Pacing(largest_bytes=2**62)
SORRY = "Sorry."


def responses() -> Responses:
    body = {"model": "llm-1", "input": "Hi", "stream": True, "tools": [{"type": "function", "name": "find"}]}
    request = responses_requests.parse(
        body, policies=POLICIES, limits=Limits(), headers=Headers(), options=GuardedOptions(), remembered=None,
        sealer=SEALER,
    )  # fmt: skip
    return Responses(request, created=1, name="1", sealer=SEALER, end=BlockedEnd.INCOMPLETE, remember=None)


def messages() -> Messages:
    tools = [{"name": "find", "input_schema": {}}]
    body = {"model": "llm-1", "messages": [{"role": "user", "content": "Hi"}], "tools": tools}
    asked = messages_requests.parse(
        body, policies=POLICIES, limits=Limits(), headers=Headers(), options=GuardedOptions(), sealer=SEALER
    )
    return Messages(asked, name="1", sealer=SEALER, version={}, request_id="r-1")


DOORS: dict[str, tuple[Callable[[], Any], ModuleType]] = {
    "responses": (responses, fake_responses),
    "messages": (messages, fake_messages),
}
each_door = pytest.mark.parametrize("door", DOORS)


def shown_of(door: str, events: Sequence[Mapping[str, Any]], pacing: Pacing = SMALL) -> list[Mapping[str, Any]]:
    """All that a client gets of a stream of these."""
    answer: GuardedEvents = DOORS[door][0]().answer(pacing, shows_first=False)
    shown: list[Mapping[str, Any]] = []
    try:
        for one in events:
            answer.add(one)
            shown += answer.release()
            while pieces := answer.take_pieces():
                answer.settle([rule(piece) for piece in pieces])
                shown += answer.release()
    except ChatModelError:
        pass
    return shown


def whole_of(door: str, document: dict[str, Any]) -> str:
    """The same of a reply that is not streamed."""
    contract = DOORS[door][0]()
    answer = contract.answer(WHOLE, shows_first=False)
    try:
        answer.add_whole(document)
    except ChatModelError:
        return ""
    answer.end()
    while pieces := answer.take_pieces():
        answer.settle([rule(piece) for piece in pieces])
    assert answer.is_judged
    return json.dumps(contract.whole(document, None))


ENTRY = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": [98]}]}


def full(door: str) -> list[dict[str, Any]]:
    """A reply with everything in it."""
    if door == "messages":
        quote = {"type": "char_location", "cited_text": "", "document_title": "", "document_index": 0}
        blocks = [
            fake_messages.thinking("a", signature="3f2a1b"),
            {**fake_messages.text("a"), "citations": [quote]},
            fake_messages.tool_use({"q": "a"}),
        ]
        return fake_messages.events_of(*blocks, size=100)
    said = fake_responses.message("a")
    said["content"][0] |= {"annotations": [{"type": "url_citation", "url": "", "title": "", "start_index": 0}]}
    said["content"][0]["logprobs"] = [ENTRY]
    items = [
        fake_responses.reasoning("a", sealed="3f2a1b"),
        fake_responses.reasoning("a", name="rs_2", summary=True),
        said,
        fake_responses.call('{"q": "a"}'),
    ]
    found = fake_responses.events_of(*items, size=100)
    for event in found:
        if event["type"] in ("response.output_text.delta", "response.output_text.done"):
            event["logprobs"] = [ENTRY]
        if event["type"] == "response.function_call_arguments.done":
            event["name"] = "find"
    return found


def document_of(door: str) -> dict[str, Any]:
    events = full(door)
    if door == "responses":
        return dict(events[-1]["response"])
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    return fake_messages.message(*blocks)


@each_door
def test_a_reply_with_everything_in_it_goes_through(door: str) -> None:
    sealed = json.dumps(shown_of(door, full(door))).replace(SEALER.seal("3f2a1b"), "3f2a1b")
    assert sealed == json.dumps(full(door))


@each_door
def test_no_place_of_a_stream_leaks(door: str) -> None:
    events = full(door)
    for number, event in enumerate(events):
        for at in places(event):
            if not at or at == ("type",):
                continue
            for name, change in CHANGES.items():
                bad = [*events[:number], changed(event, at, change), *events[number + 1 :]]
                assert WORD not in json.dumps(shown_of(door, bad)), (event["type"], at, name)


@each_door
def test_no_place_of_a_whole_reply_leaks(door: str) -> None:
    document = document_of(door)
    for at in places(document):
        if at:
            for name, change in CHANGES.items():
                assert WORD not in whole_of(door, changed(document, at, change)), (at, name)


@each_door
@pytest.mark.parametrize("key", ["a_new_one", "id", "text", "item_id", "model", "citations", "usage", "type"])
def test_no_half_of_a_word_leaks_that_comes_in_two_events(door: str, key: str) -> None:
    events, quiet = full(door), {"type": "response.in_progress", "response": {"status": "in_progress"}}
    inside = "response"
    if door == "messages":
        events, inside = events[:2] + events[3:], "delta"
        quiet = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": ""}}
    for place in ("", inside):
        bad = [
            {**quiet, key: half} if not place else {**quiet, place: {**quiet[place], key: half}}  # type: ignore[dict-item]
            for half in HALVES
        ]
        if place or key != "type":
            shown = json.dumps(shown_of(door, [*events[:2], *bad, *events[2:]]))
            assert not [half for half in HALVES if half in shown], place


def reply_with(door: str, luck: random.Random, text: str, place: str) -> tuple[list[dict[str, Any]], str]:
    """A reply with this text in that place, and words around it."""
    size = luck.choice([1, 3, 12, 40, 1000])
    around = "".join(luck.choices(PASSAGES, k=2))
    if door == "messages":
        thought, answer = fake_messages.thinking(text if place == "thought" else around), fake_messages.text
        said = answer(text if place in ("text", "clean") else around)
        spelled = json.dumps({"q": text if place == "tool" else around}, ensure_ascii=luck.random() < 0.5)
        return fake_messages.events_of(thought, said, fake_messages.tool_use({}), size=size, spelled=spelled), around
    thought = fake_responses.reasoning(text if place == "thought" else around, summary=luck.random() < 0.5)
    said = fake_responses.message(text if place in ("text", "clean") else around)
    told = json.dumps({"q": text if place == "tool" else around}, ensure_ascii=luck.random() < 0.5)
    return fake_responses.events_of(thought, said, fake_responses.call(told), size=size), around


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from texts_in(item)


@each_door
def test_nothing_leaks_in_hundreds_of_streams_and_clean_ones_pass_unchanged(door: str) -> None:
    luck = random.Random(11)
    for number in range(300):
        place = ("text", "thought", "tool", "clean")[number % 4]
        text = "".join(luck.choices(PASSAGES, k=luck.randint(1, 4)))
        if place != "clean":
            at = luck.randint(0, len(text))
            text = text[:at] + luck.choice(HARM) + text[at:]
        events, _ = reply_with(door, luck, text, place)
        answer: GuardedEvents = DOORS[door][0]().answer(luck.choice([SMALL, Pacing()]), shows_first=False)
        shown: list[Mapping[str, Any]] = []
        waiting = list(events)
        while waiting or not answer.is_judged:
            for one in waiting[: luck.randint(1, 20)]:
                answer.add(one)
                waiting.pop(0)
            if luck.random() < 0.5 and (pieces := answer.take_pieces()):
                answer.settle(
                    [Ruling.of(piece, decision(blocks=SPELLED.search(piece.text) is not None)) for piece in pieces]
                )
            shown += answer.release()
        shown += answer.release()
        if place == "clean":
            assert shown == events
            continue
        assert answer.is_blocked
        assert SORRY in json.dumps(shown[-1 if door == "responses" else -5 :])
        grown = "".join(str(one.get("delta")) for one in shown)
        deltas = [one.get("delta") for one in shown]
        said = "".join(text for delta in deltas for text in ([delta] if isinstance(delta, str) else texts_in(delta)))
        assert SPELLED.search(said.replace("text_delta", "")) is None
        assert SPELLED.search(grown) is None
        assert not [one for one in texts_in(list(shown)) if SPELLED.search(one)]
        if door == "responses":
            assert [one["sequence_number"] for one in shown] == list(range(len(shown)))


@each_door
def test_shown_first_means_shown_before_the_verdict_and_cut_after_it(door: str) -> None:
    events, _ = reply_with(door, random.Random(1), "First the bread. Then the bomb.", "text")
    answer: GuardedEvents = DOORS[door][0]().answer(SMALL, shows_first=True)
    for one in events:
        answer.add(one)
    shown = answer.release()
    deltas = [one["delta"] if door == "responses" else one["delta"].get("text", "") for one in shown if "delta" in one]
    assert "the bomb." in "".join(deltas)
    assert "find" not in json.dumps(shown)
    while pieces := answer.take_pieces():
        answer.settle([rule(piece) for piece in pieces])
    rest = json.dumps(answer.release())
    assert "\\n\\nSorry." in rest
    assert "find" not in rest
