"""Growing answers and lists: what a block entry stands in is not shown, however the answer is cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from apps import make_service
from fake_stream_server import FakeStreamServer, write_model_dir
from fakes import FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation_service.config.settings import Settings, Url
from moderation_service.core.conversation import Conversation, Message, Role
from moderation_service.core.list_entry import entry_of
from moderation_service.core.moderator import Moderator
from moderation_service.core.policy import BUILT_IN
from moderation_service.core.question import Question
from moderation_service.core.verdict import Verdict
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.engines import create_engine
from moderation_service.engines.lists import Lists
from moderation_service.engines.stream import StreamEngine
from moderation_service.errors import ModerationError
from moderation_service.streaming.cumulative_stream import judge_resent
from moderation_service.streaming.growing_answer import GrowingAnswer, Pacing, advance
from moderation_service.streaming.piece_judge import AnswerJudge
from moderation_service.streaming.relayed import RelayedText, SoFar
from moderation_service.streaming.token_judge import TokenJudge, token_pacing

ENTRIES = ("secret plan. do not tell", "verboten", "大麻", "evil.example")
POLICY = replace(BUILT_IN["balanced"], lists=("own",))
ASKED = Question.of([Message(Role.USER, "Tell me.")])
FILLER = "Flour and water make a dough that rests. "


def own_lists() -> Lists:
    entries = [entry_of({"text": text}, list_name="own") for text in ENTRIES[:2]]
    entries.append(entry_of({"text": "大麻", "exceptions": "大麻烦"}, list_name="own"))
    entries.append(entry_of({"text": "evil.example", "kind": "domain"}, list_name="own"))
    return Lists({"own": entries})


LISTS = own_lists()


def judge() -> AnswerJudge:
    moderator = Moderator(engine=FakeEngine(), cache=VerdictCache(size=0, ttl_s=1), lists=LISTS)
    return AnswerJudge(moderator, ASKED, POLICY)


def shown(text: str, size: int, *, pacing: Pacing | None = None) -> tuple[str, bool]:
    """What a reader sees of an answer that comes in pieces of this size, and whether it is blocked."""
    answer, ask = GrowingAnswer(pacing), judge()
    seen = ""
    for at in range(0, len(text), size):
        answer.add(text[at : at + size])
        seen += advance(answer, ask)
    answer.end()
    seen += advance(answer, ask)
    return seen, answer.is_blocked


@pytest.mark.parametrize("size", [1, 7, 33, 5000])
@pytest.mark.parametrize("bad", ["Secret plan. Do not tell", "secret plan.\nDo  not tell", "verboten", "大麻"])
def test_nothing_of_a_listed_text_is_shown_also_across_the_end_of_a_sentence(bad: str, size: int) -> None:
    seen, is_blocked = shown(f"{FILLER * 3}{bad}! {FILLER}", size)
    assert is_blocked
    assert (FILLER * 3).startswith(seen.rstrip()) or seen == FILLER * 3


@pytest.mark.parametrize(
    "text", ["secret plan. Do tell", "verbotenes", "大麻烦。", "evil.examples", "the secret plan."]
)
def test_the_beginning_of_a_listed_text_is_shown_once_it_goes_on_otherwise(text: str) -> None:
    whole = f"{FILLER}{text} {FILLER}"
    for size in (1, 9, 40):
        assert shown(whole, size) == (whole, False)


def test_the_beginning_of_a_listed_text_at_the_end_is_shown() -> None:
    assert shown(FILLER + "It is a secret plan.", 5) == (FILLER + "It is a secret plan.", False)


@pytest.mark.parametrize("filler", ["\n", " \u200b", "\u200b"])
@pytest.mark.parametrize(("word", "is_bad"), [("secret", False), ("大麻", True)])
def test_blanks_without_end_are_not_held_without_end_nor_judged_for_each_of_them(
    filler: str, word: str, is_bad: bool
) -> None:
    """They may stand in a phrase, or before the rest of an exception."""
    engine, read = FakeEngine(), 0

    class Counting(FakeEngine):
        def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
            nonlocal read
            read += sum(len(chat.messages[-1].content) for chat in conversations)
            return engine.judge(conversations, **options)

    moderator = Moderator(engine=Counting(), cache=VerdictCache(size=0, ttl_s=1), lists=LISTS)
    ask, answer, seen = AnswerJudge(moderator, ASKED, POLICY), GrowingAnswer(), ""
    answer.add(f"{FILLER}The {word}")
    for _ in range(2000):
        answer.add(filler * 4)
        seen += advance(answer, ask)
        assert answer.held < 1500
    assert answer.is_blocked is is_bad
    assert (word in seen) is not is_bad
    assert read < 400_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([*ENTRIES, "大麻烦", "secret plan.", " ", FILLER, "大", "麻", "x", "\n"]), max_size=8),
    st.integers(1, 60),
    st.booleans(),
)
def test_what_is_shown_has_no_listed_text_in_it_however_it_comes(parts: list[str], size: int, by_token: bool) -> None:
    text = "".join(parts)
    seen, is_blocked = shown(text, size, pacing=token_pacing(4) if by_token else Pacing(first_bytes=4, piece_bytes=8))
    found = LISTS.find(POLICY.lists, next(iter(POLICY.rules)), text)
    assert is_blocked is (found is not None and found.block is not None)
    assert text.startswith(seen)
    if found is not None and found.block is not None:
        assert len(seen) <= found.block.span.start
    else:
        assert seen == text


# By token


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[StreamEngine]:
    with FakeStreamServer() as server:
        url = Url(server.url)
        made = Settings(engine="stream", stream_upstream=url, stream_model_dir=write_model_dir(tmp_path))
        engine = create_engine(made)
        assert isinstance(engine, StreamEngine)
        yield engine
        engine.close()


@pytest.mark.parametrize("size", [3, 50])
def test_an_answer_judged_by_token_is_compared_with_lists_too(tokens: StreamEngine, size: int) -> None:
    moderator = Moderator(engine=tokens, cache=VerdictCache(size=0, ttl_s=1), lists=LISTS)
    ask = TokenJudge(AnswerJudge(moderator, ASKED, POLICY), tokens, deadline_s=20)
    answer, seen = GrowingAnswer(token_pacing(4)), ""
    text = f"{FILLER}The secret plan. Do not tell anybody. {FILLER}"
    for at in range(0, len(text), size):
        answer.add(text[at : at + size])
        seen += advance(answer, ask)
    answer.end()
    assert answer.is_blocked
    assert f"{FILLER}The ".startswith(seen)


# Sent again and again


def test_an_answer_that_is_sent_whole_again_keeps_the_beginning_of_a_listed_text_back() -> None:
    ask = judge()
    first = judge_resent([f"{FILLER}A secret plan. "], (), ask, key=b"key")[0]
    assert first.text[first.cleared :] == "secret plan. "
    second = judge_resent([f"{FILLER}A secret plan. Do not tell! "], [first.progress], ask, key=b"key")[0]
    assert second.is_blocked


def test_an_answer_that_is_sent_once_is_blocked_for_a_listed_text_at_its_end() -> None:
    (answer,) = judge_resent([f"{FILLER}It is verboten"], (), judge(), key=b"key")
    assert answer.is_blocked


# Through a door


def test_a_relayed_answer_is_stopped_by_a_list(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("verboten\nsecret plan. do not tell\n")
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies:\n  own:\n    lists: own\n")
    service = make_service(lists_file=tmp_path / "own.txt", policies_file=policies, default_policy="own")

    def send(text: str, state: str | None = None, *, is_final: bool = False) -> SoFar:
        asked = RelayedText(
            call_id="1", question=ASKED, text=text, policy=service.policies.get(None), state=state, is_final=is_final
        )
        return service.relay.check(asked)

    begun = send(f"{FILLER}It is verb")
    assert not begun.stop
    ended = send(f"{FILLER}It is verboten here. {FILLER}", begun.state, is_final=True)
    assert (ended.stop, ended.safe_up_to <= len(f"{FILLER}It is ")) == (True, True)
    assert ended.message == "Sorry, I can't help with that."
