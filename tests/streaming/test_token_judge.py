"""A growing answer judged token by token: what is shown, where it is cut, and who judges when that fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_stream_server import FakeStreamServer, Misbehaves, write_model_dir
from fakes import FakeEngine

from moderation_service.config.settings import Settings, Url
from moderation_service.core.conversation import Message, Role
from moderation_service.core.moderator import Moderator, Record
from moderation_service.core.policy import BUILT_IN, Policy, Rules, Thresholds
from moderation_service.core.question import Question
from moderation_service.core.verdict import Action, Severity, Target
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.engines import create_engine
from moderation_service.engines.stream import StreamEngine
from moderation_service.errors import AuditUnavailable, EngineUnavailable, ModerationError
from moderation_service.streaming.growing_answer import GrowingAnswer, Ruling, advance
from moderation_service.streaming.piece_judge import AnswerJudge
from moderation_service.streaming.token_judge import TokenJudge, token_pacing

SAFE_TEXT = "Mix flour and water. 然后等一小时。 Then the café 🎉 opens. "
UNSAFE_TEXT = SAFE_TEXT + "Build a detonator from parts. " + SAFE_TEXT


class Follower:
    """Follows answers as a proxy does, and keeps what a reader would see and every ruling."""

    def __init__(self, judge: Callable[..., Ruling], *, chunk_tokens: int = 4) -> None:
        self.answer = GrowingAnswer(token_pacing(chunk_tokens))
        self.rulings: list[Ruling] = []
        self.shown = ""
        self._judge = judge

    def read(self, text: str, sizes: list[int]) -> str:
        at, number = 0, 0
        while at < len(text):
            size = sizes[number % len(sizes)]
            self.answer.add(text[at : at + size])
            at, number = at + size, number + 1
            self._advance()
        self.answer.end()
        self._advance()
        return self.shown

    def _advance(self) -> None:
        def judge(piece: object) -> Ruling:
            self.rulings.append(self._judge(piece))
            return self.rulings[-1]

        self.shown += advance(self.answer, judge)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeStreamServer]:
    with FakeStreamServer() as server:
        yield server


@pytest.fixture
def tokens(upstream: FakeStreamServer, tmp_path: Path) -> Iterator[StreamEngine]:
    settings = Settings(
        engine="stream",
        stream_upstream=Url(upstream.url),
        stream_model_dir=write_model_dir(tmp_path),
        stream_timeout_s=20.0,
    )
    engine = create_engine(settings)
    assert isinstance(engine, StreamEngine)
    upstream.instead = lambda body: None
    yield engine
    engine.close()


def judge_of(
    tokens: StreamEngine,
    *,
    engine: object = None,
    policy: Policy = BUILT_IN["balanced"],
    begun: str = "",
    record: Record | None = None,
) -> TokenJudge:
    cache = VerdictCache(size=0, ttl_s=1)
    moderator = Moderator(engine=engine or tokens, cache=cache, record=record)  # type: ignore[arg-type]
    question = Question((Message(Role.USER, "How?"),), begun)
    return TokenJudge(AnswerJudge(moderator, question, policy), tokens, deadline_s=20, begun=begun)


def test_a_harmless_answer_is_shown_whole(tokens: StreamEngine) -> None:
    follower = Follower(judge_of(tokens))
    assert follower.read(SAFE_TEXT, [3]) == SAFE_TEXT
    decision = follower.rulings[-1].decision
    assert decision is not None
    assert (decision.action, decision.engine, decision.target) == (Action.ALLOW, "stream", Target.RESPONSE)
    assert follower.answer.is_settled


class FullDisk:
    """A record that can't be written, until there is room."""

    def __init__(self) -> None:
        self.has_room = False

    def write(self, check: object, outcome: object, fingerprint: bytes) -> None:
        if not self.has_room:
            raise AuditUnavailable("No room.")


def test_what_was_found_and_could_not_be_recorded_is_not_forgotten(tokens: StreamEngine) -> None:
    disk = FullDisk()
    judge = judge_of(tokens, record=disk)
    answer = GrowingAnswer(token_pacing(4))
    answer.add(UNSAFE_TEXT)
    answer.end()
    piece = answer.next_piece()
    assert piece is not None
    with pytest.raises(AuditUnavailable):
        judge(piece)
    disk.has_room = True
    with pytest.raises(AuditUnavailable):
        judge(piece)


def flagged_from(tokens: StreamEngine, text: str) -> int:
    """The first character under a flagged token, by the engine itself."""
    from moderation_service.core.engine import Deadline

    answer = tokens.follow([Message(Role.USER, "How?")])
    judged = answer.add(text, is_last=True, deadline=Deadline.after(20))
    return next(one.begin for one in judged if one.verdict.severity is Severity.UNSAFE)


@pytest.mark.parametrize("size", [1, 5, 17, 500])
def test_an_answer_is_cut_where_the_flagged_span_begins_and_none_of_it_is_shown(
    tokens: StreamEngine, size: int
) -> None:
    follower = Follower(judge_of(tokens))
    shown = follower.read(UNSAFE_TEXT, [size])
    assert shown == UNSAFE_TEXT[: flagged_from(tokens, UNSAFE_TEXT)]
    assert follower.answer.is_blocked
    last = follower.rulings[-1]
    assert last.is_blocked
    assert last.decision is not None
    assert last.decision.verdict is not None
    assert (last.decision.action, last.decision.verdict.severity) == (Action.BLOCK, Severity.UNSAFE)
    assert last.decision.message


@pytest.mark.parametrize("seed", range(10))
def test_no_character_of_a_flagged_span_is_ever_shown(tokens: StreamEngine, seed: int) -> None:
    rng = random.Random(seed)
    words = ["bread ", "水。", "🎉", "e\u0301", "a detonator", " ", "\n", "ballot ", "deto", "nator "]
    text = "".join(rng.choice(words) for _ in range(rng.randrange(30)))
    judge = judge_of(tokens)
    shown = Follower(judge, chunk_tokens=rng.choice([1, 4, 16])).read(text, [rng.randrange(1, 9) for _ in range(9)])
    assert text.startswith(shown)
    if shown != text:
        assert judge.found.severity is Severity.UNSAFE
        assert judge.found.begin is not None
        assert len(shown) <= judge.found.begin


def test_a_single_flagged_token_is_shown_once_its_neighbour_is_safe(tmp_path: Path) -> None:
    with FakeStreamServer(keywords={"=": ("Unsafe", "PII")}) as server:
        engine = create_engine(
            Settings(engine="stream", stream_upstream=Url(server.url), stream_model_dir=write_model_dir(tmp_path))
        )
        assert isinstance(engine, StreamEngine)
        try:
            follower = Follower(judge_of(engine), chunk_tokens=1)
            assert follower.read("a = b", [1]) == "a = b"
            held = [ruling.cleared for ruling in follower.rulings]
            assert 2 in held[:-1] or 1 in held[:-1], "it waited"
            ends_flagged = Follower(judge_of(engine), chunk_tokens=1)
            assert ends_flagged.read("a =", [1]) == "a ="
        finally:
            engine.close()


def test_what_a_policy_only_flags_is_shown(tokens: StreamEngine) -> None:
    text = "About the ballot and more."
    balanced = Follower(judge_of(tokens))
    assert balanced.read(text, [4]) == text
    decision = balanced.rulings[-1].decision
    assert decision is not None
    assert decision.action is Action.FLAG
    strict = Follower(judge_of(tokens, policy=BUILT_IN["strict"]))
    assert "ballot" not in strict.read(text, [4])
    assert strict.answer.is_blocked


def test_thresholds_of_the_policy_count_for_tokens(tokens: StreamEngine) -> None:
    base = BUILT_IN["balanced"]
    never = Rules(base.rules[Target.RESPONSE].actions, thresholds=Thresholds(controversial=1.0, unsafe=1.0))
    policy = Policy("tolerant", "", {**base.rules, Target.RESPONSE: never})
    assert Follower(judge_of(tokens, policy=policy)).read(UNSAFE_TEXT, [9]) == UNSAFE_TEXT


def test_another_engine_has_the_last_word_on_a_complete_answer(tokens: StreamEngine) -> None:
    gen = FakeEngine()
    follower = Follower(judge_of(tokens, engine=gen))
    text = "All of this is fine, one would think. Even an insult."
    assert follower.read(text, [6]) == text
    assert gen.asked == [text], "asked once, with all of it"
    decision = follower.rulings[-1].decision
    assert decision is not None
    assert (decision.engine, decision.action) == ("fake", Action.FLAG)
    blocked = Follower(judge_of(tokens, engine=FakeEngine()))
    shown = blocked.read("Here is how. It is a bomb that", [6])
    assert blocked.answer.is_blocked
    assert "that" not in shown


def test_without_the_server_pieces_are_judged_by_the_other_engine(
    tokens: StreamEngine, upstream: FakeStreamServer, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.instead = lambda body: Misbehaves(500)
    gen = FakeEngine()
    follower = Follower(judge_of(tokens, engine=gen), chunk_tokens=4)
    shown = follower.read("First some bread. Then a bomb. Then more.", [5])
    assert follower.answer.is_blocked
    assert "bomb" not in shown
    assert [one.message for one in caplog.records].count("stream_fell_back_to_pieces") == 1
    assert "bread" not in str([vars(one) for one in caplog.records])


def test_text_that_comes_while_a_piece_is_judged_does_not_wait_for_more(tokens: StreamEngine) -> None:
    answer, judge = GrowingAnswer(token_pacing(4)), judge_of(tokens)
    answer.add("Mix some flour and water")
    piece = answer.next_piece()
    assert piece is not None
    answer.add(", then wait for an hour")
    answer.settle(piece, judge(piece))
    assert answer.is_ready


def test_an_outage_in_the_middle_is_made_up_for(tokens: StreamEngine, upstream: FakeStreamServer) -> None:
    judge = judge_of(tokens, engine=FakeEngine())
    follower = Follower(judge)
    calls = iter(range(100))
    upstream.instead = lambda body: Misbehaves(500) if next(calls) == 1 else None
    shown = follower.read(UNSAFE_TEXT, [9])
    assert judge.fell_back
    assert follower.answer.is_blocked, "the fake engine knows no detonator; the tokens do"
    assert "detonator" not in shown


def test_without_any_engine_nothing_is_shown(tokens: StreamEngine, upstream: FakeStreamServer) -> None:
    upstream.instead = lambda body: Misbehaves(500)
    broken = FakeEngine(raises=EngineUnavailable("away"))
    policy = BUILT_IN["balanced"]
    with pytest.raises(ModerationError):
        Follower(judge_of(tokens, engine=broken, policy=policy)).read(SAFE_TEXT, [9])
    with pytest.raises(ModerationError):
        Follower(judge_of(tokens, policy=policy)).read(SAFE_TEXT, [9])
