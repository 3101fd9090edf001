"""The answer on its way: what waits, what goes on, and that nothing of a blocked passage ever does."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from typing import Any

import pytest
from fake_llm import USAGE, chunk
from hypothesis import example, given
from hypothesis import strategies as st

from moderation_service.chat.answer import GuardedAnswer
from moderation_service.chat.choice import Told
from moderation_service.core.verdict import Action, Decision, Target
from moderation_service.errors import ChatModelError, EngineUnavailable, ModerationError
from moderation_service.streaming.growing_answer import Pacing, Piece, Ruling
from moderation_service.upstream.sse import EventReader, write_event

SMALL = Pacing(first_bytes=4, piece_bytes=8, hold_bytes=24, largest_bytes=64, context_bytes=32, whole_bytes=256)


def decision(*, blocks: bool) -> Decision:
    action = Action.BLOCK if blocks else Action.ALLOW
    return Decision(
        "mod_1", Target.RESPONSE, None, action, "p", "Sorry." if blocks else None, "e", "m", False, False, 1.0
    )


def rule(piece: Piece) -> Ruling:
    """Blocks what has `bomb` in it."""
    return Ruling.of(piece, decision(blocks="bomb" in piece.text))


def run(answer: GuardedAnswer, *chunks: Any, ends: bool = True) -> list[Mapping[str, Any]]:
    """All that goes on to the client."""
    shown: list[Mapping[str, Any]] = []
    for one in [*chunks, *([None] if ends else [])]:
        answer.add(one) if one is not None else answer.end()
        while pieces := answer.take_pieces():
            answer.settle([rule(piece) for piece in pieces])
            shown += answer.release()
        shown += answer.release()
    return shown


def say(*texts: str, **more: Any) -> list[dict[str, Any]]:
    return [chunk({"content": text}, **more) for text in texts]


def contents(shown: list[Mapping[str, Any]], *, index: int = 0, key: str = "content") -> str:
    choices = [choice for one in shown for choice in one["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get(key) or "" for choice in choices)


def test_chunks_go_on_as_they_came() -> None:
    role = chunk({"role": "assistant", "content": ""})
    odd = {**chunk({"content": "water. "}), "a_new_field": 1, "usage": {"x": 1}}
    odd["choices"][0]["token_ids"] = [1, 2]
    chunks = [role, *say("Flour ", "and "), odd, chunk({}, finish="stop"), {**chunk({}), "choices": [], "usage": USAGE}]
    assert run(GuardedAnswer(SMALL), *chunks) == chunks


def test_a_chunk_waits_until_all_its_text_was_judged() -> None:
    answer = GuardedAnswer(SMALL)
    assert contents(run(answer, *say("One two. ", "Three fo", "ur. Five s"), ends=False)) == "One two. Three fo"


def test_logprobs_wait_with_their_text() -> None:
    answer = GuardedAnswer(SMALL)
    spelled = [chunk({"content": text}, logprobs={"content": [{"token": text}]}) for text in ("a ", "bomb", ". ")]
    shown = json.dumps(run(answer, *spelled))
    assert "bomb" not in shown


def test_tokens_that_come_before_their_text_wait_too() -> None:
    answer = GuardedAnswer(SMALL)
    early = [chunk({"content": ""}, logprobs={"content": [{"token": text}]}) for text in ("a ", "bomb", ". ")]
    shown = json.dumps(run(answer, *early, *say("a bomb. ")))
    assert "bomb" not in shown


def test_a_blocked_choice_ends_with_the_message_and_the_reason() -> None:
    shown = run(GuardedAnswer(SMALL), *say("All is well. ", "Now the ", "bomb. ", "More. "), chunk({}, finish="stop"))
    assert contents(shown) == "All is well. \n\nSorry."
    last = shown[-1]["choices"][0]
    assert (last["delta"], last["finish_reason"]) == ({}, "content_filter")
    assert {one["id"] for one in shown} == {"chatcmpl-llm-1"}


def test_a_choice_blocked_at_its_beginning_has_a_role_all_the_same() -> None:
    shown = run(GuardedAnswer(SMALL), *say("The bomb. "))
    assert shown[0]["choices"][0]["delta"] == {"role": "assistant", "content": "Sorry."}


def test_one_choice_is_blocked_and_the_other_goes_on() -> None:
    answer = GuardedAnswer(SMALL, expected=2)
    mixed = [
        *say("The bomb. ", index=0),
        *say("The bread. ", index=1),
        *say("More. ", index=0),
        *say("More. ", index=1),
    ]
    shown = run(answer, *mixed, chunk({}, index=0, finish="stop"), chunk({}, index=1, finish="stop"))
    assert (contents(shown, index=0), contents(shown, index=1)) == ("Sorry.", "The bread. More. ")
    assert list(answer.cut) == [0]
    assert not answer.is_all_cut


def test_when_all_choices_are_blocked_nothing_more_is_needed() -> None:
    answer = GuardedAnswer(SMALL, expected=2)
    run(answer, *say("The bomb. ", index=0), ends=False)
    assert not answer.is_all_cut
    run(answer, *say("The bomb. ", index=1), ends=False)
    assert answer.is_all_cut


def test_choices_of_one_chunk_go_their_own_ways() -> None:
    both = {
        **chunk({}),
        "choices": [say("A bomb. ", index=0)[0]["choices"][0], say("A loaf. ", index=1)[0]["choices"][0]],
    }
    shown = run(GuardedAnswer(SMALL, expected=2), both)
    assert (contents(shown, index=0), contents(shown, index=1)) == ("Sorry.", "A loaf. ")


def test_the_usage_waits_for_the_text_before_it() -> None:
    usage = {**chunk({}), "choices": [], "usage": USAGE}
    answer = GuardedAnswer(SMALL)
    assert run(answer, *say("Not judg"), usage, ends=False) == []
    assert [one["choices"] == [] for one in run(answer)] == [False, True]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "refusal", "a_field_of_the_future"])
def test_text_is_judged_whatever_its_field_is_called(key: str) -> None:
    shown = run(GuardedAnswer(SMALL), chunk({key: "the bo"}), chunk({key: "mb. "}))
    assert contents(shown) == "Sorry."
    assert "bo" not in contents(shown, key=key)


def test_transcripts_of_sound_are_judged() -> None:
    assert contents(run(GuardedAnswer(SMALL), chunk({"audio": {"transcript": "the bomb. "}}))) == "Sorry."


def test_thoughts_do_not_hold_the_words_after_them_back() -> None:
    answer = GuardedAnswer(SMALL)
    chunks = [chunk({"reasoning_content": "hm"}), chunk({"content": "Bread is good. "})]
    shown = run(answer, *chunks, ends=False)
    assert shown == chunks


def test_words_that_alternate_with_thoughts_cost_no_check_each() -> None:
    answer = GuardedAnswer(Pacing())
    checks = 0
    for _ in range(400):
        for key in ("content", "reasoning_content"):
            answer.add(chunk({key: "ab "}))
            while pieces := answer.take_pieces():
                checks += len(pieces)
                answer.settle([rule(piece) for piece in pieces])
    assert checks <= 2 * (2400 / Pacing().piece_bytes + 2)


# Tools.


def call(arguments: str, **more: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments}, **more}]})


def test_a_tool_call_goes_on_when_it_is_complete_and_as_it_came() -> None:
    first = chunk({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "find", "arguments": ""}}]})
    chunks = [first, call('{"q": "bre'), call('ad"}'), chunk({}, finish="tool_calls")]
    answer = GuardedAnswer(SMALL, told=Told(tools=frozenset({"find"})))
    assert run(answer, *chunks[:3], ends=False) == []
    assert run(answer, chunks[3]) == chunks


@pytest.mark.parametrize("spelled", ['{"q": "a bomb"}', '{"q": "a \\u0062omb"}', '{"bomb": 1}', "not json: bomb"])
def test_a_tool_is_not_told_what_is_blocked(spelled: str) -> None:
    shown = run(GuardedAnswer(SMALL), *[call(char) for char in spelled], chunk({}, finish="tool_calls"))
    assert contents(shown) == "Sorry."
    assert "tool_calls" not in json.dumps(shown)


def test_text_before_a_tool_call_does_not_wait_for_it() -> None:
    shown = run(GuardedAnswer(SMALL), *say("I will look. "), call("{"), ends=False)
    assert contents(shown) == "I will look. "


# What is no answer.


@pytest.mark.parametrize(
    "document",
    [{"choices": {}}, {"text": "bomb"}, {"choices": None, "ids": [1]},
     {"type": "content_block_delta", "delta": {"text": "bomb"}},
     {"choices": [1]}, {"choices": [{"index": "0"}]}, {"choices": [{"index": 128}]},
     {"choices": [{"index": -1}]}, {"choices": [{"index": 0, "delta": {str(number): "x" for number in range(65)}}]}],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(document: Any) -> None:
    with pytest.raises(ChatModelError):
        GuardedAnswer(SMALL).add(document)


@pytest.mark.parametrize("document", [{}, {"choices": None}, {"id": "1", "object": "", "model": "", "created": 0}])
def test_what_has_no_text_is_passed_over(document: Any) -> None:
    assert run(GuardedAnswer(SMALL), document, *say("Yes. ")) == say("Yes. ")


def test_text_after_the_end_is_an_error() -> None:
    answer = GuardedAnswer(SMALL)
    answer.add(chunk({"content": "a"}, finish="stop"))
    with pytest.raises(ChatModelError):
        answer.add(chunk({"content": "bomb"}))


def test_a_field_nested_too_deeply_is_an_error() -> None:
    deep: Any = "bomb"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ChatModelError):
        GuardedAnswer(SMALL).add(chunk({"content": deep}))


def test_an_error_of_the_guard_lets_nothing_through() -> None:
    answer = GuardedAnswer(SMALL)
    answer.add(chunk({"content": "A sentence. "}))
    errors: list[Ruling | ModerationError] = [EngineUnavailable("down") for _ in answer.take_pieces()]
    with pytest.raises(EngineUnavailable):
        answer.settle(errors)
    assert answer.release() == []


def test_shown_first_means_shown_before_the_verdict_and_cut_after_it() -> None:
    answer = GuardedAnswer(SMALL, shows_first=True)
    answer.add(say("the bomb. ")[0])
    answer.add(chunk({}, finish="stop"))
    assert contents(list(answer.release())) == "the bomb. "
    answer.settle([rule(piece) for piece in answer.take_pieces()])
    shown = list(answer.release())
    assert contents(shown) == "\n\nSorry."
    assert shown[-1]["choices"][0]["finish_reason"] == "content_filter"


# Whatever the chunks are.

KEYS = ("content", "reasoning_content", "refusal")
STEP = st.tuples(st.integers(0, 1), st.sampled_from(KEYS), st.text("bomb. \n。\u200b\ud83d\ude00é", max_size=6))


def allowed(chunks: list[tuple[int, str, str]], index: int) -> dict[str, str]:
    """All text of a choice, by field."""
    return {key: "".join(text for i, k, text in chunks if (i, k) == (index, key)) for key in KEYS}


@given(st.lists(STEP, max_size=60), st.randoms(use_true_random=False))
@example([(0, "content", char) for char in "a bomb"], random.Random(1))
@example(
    [(0, "content", "bo"), (1, "content", "x. "), (0, "reasoning_content", "mb. "), (0, "content", "mb")],
    random.Random(1),
)
def test_nothing_of_a_blocked_passage_goes_on_however_it_comes(
    steps: list[tuple[int, str, str]], luck: random.Random
) -> None:
    answer = GuardedAnswer(SMALL, expected=2)
    judged: list[Piece] = []
    shown: list[Mapping[str, Any]] = []

    def judge() -> None:
        if pieces := answer.take_pieces():
            judged.extend(pieces)
            answer.settle([rule(piece) for piece in pieces])
        shown.extend(answer.release())

    for index, key, text in steps:
        answer.add(chunk({key: text}, index=index, logprobs={"content": [{"token": text}]}))
        if luck.random() < 0.4:  # else the check under way takes longer
            judge()
    answer.end()
    while not answer.is_judged:
        judge()
    judge()
    for index in (0, 1):
        for key, text in allowed(steps, index).items():
            seen = contents(shown, index=index, key=key)
            if index not in answer.cut:
                assert seen == text
            elif key == "content":
                assert seen.endswith("Sorry.")
                seen = seen.removesuffix("Sorry.").removesuffix("\n\n")
            assert text.startswith(seen)
            assert "bomb" not in seen
    tokens = [choice.get("logprobs") for one in shown for choice in one["choices"]]
    assert "bomb" not in json.dumps([token for token in tokens if token])


PASSAGES = (
    "First you mix the flour with some water. ",
    "然后加一点盐，揉十分钟。",
    "ثم اترك العجين يرتاح؟ ",
    "ใส่เกลือเล็กน้อย แล้วนวดแป้ง ",
    "```python\nfor loaf in oven:\n    print(loaf)\n```\n",
    "\U0001f468\u200d\U0001f373\U0001f35e ",
    "no stop here at all " * 20,
)


SPELLED = re.compile("b\u200b?o\u200b?m\u200b?b")


def test_nothing_leaks_in_thousands_of_streams() -> None:
    luck = random.Random(7)
    for _ in range(2000):
        text = "".join(luck.choices(PASSAGES, k=luck.randint(1, 4)))
        at = luck.randint(0, len(text))
        text = text[:at] + luck.choice(["bomb", "b\u200bo\u200bm\u200bb"]) + text[at:]
        judged, shown, is_cut = stream_through(text, luck)
        passed = [piece for piece in judged if not SPELLED.search(piece.text)]
        allowed_text = "".join(piece.new[: len(piece.new) - piece.kept] for piece in passed)
        assert is_cut
        assert shown.endswith("Sorry.")
        assert allowed_text.startswith(shown.removesuffix("Sorry.").removesuffix("\n\n"))
        assert SPELLED.search(shown) is None


def stream_through(text: str, luck: random.Random) -> tuple[list[Piece], str, bool]:
    """The text as events, cut anywhere, also within a character, with checks that take their time."""
    sizes = luck.choice([(1, 3), (1, 12), (1, 40), (200, 2000)])
    chunks, at = [], 0
    while at < len(text):
        size = luck.randint(*sizes)
        chunks.append(write_event(chunk({"content": text[at : at + size]})))
        at += size
    data = b"".join(chunks)
    reader, answer = EventReader(max_bytes=100_000), GuardedAnswer(luck.choice([SMALL, Pacing()]))
    judged: list[Piece] = []
    shown: list[Mapping[str, Any]] = []
    at = 0
    while not answer.is_judged or at < len(data):
        if at < len(data):
            size = luck.randint(1, luck.choice([60, 600, 60_000]))
            for one in reader.feed(data[at : at + size]):
                answer.add(json.loads(one.data))
            at += size
            if at >= len(data):
                answer.end()
        if luck.random() < 0.5 and (pieces := answer.take_pieces()):
            judged.extend(pieces)
            answer.settle(
                [Ruling.of(piece, decision(blocks=SPELLED.search(piece.text) is not None)) for piece in pieces]
            )
        shown.extend(answer.release())
    return judged, contents(shown), bool(answer.cut)
