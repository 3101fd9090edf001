"""A verdict hands its record over and goes on; the records are written as soon as the database lets them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fakes import FakeEngine
from processes import until
from recording import Events

from moderation_service.core.conversation import Conversation
from moderation_service.core.keyed_hash import KeyedHashes
from moderation_service.core.moderator import Check, Moderator
from moderation_service.core.policy import BUILT_IN, KeepText, Policy, ToolRules
from moderation_service.core.verdict import Action, Coverage, Decision, Detail, ListedBy, Span
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.errors import (
    ConfigurationError,
    DeadlineExceeded,
    EngineUnavailable,
    FailureReason,
    StoreUnavailable,
    TooLarge,
)
from moderation_service.observability.request_context import RequestContext, request_context
from moderation_service.store.record import Kept, Record
from moderation_service.store.recorder import Recorder

HASHES = KeyedHashes(b"a key for tests")


class Sink:
    """Keeps what it is given; away while `is_there` is cleared."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.batches: list[int] = []
        self.policies: dict[tuple[str, str], Policy | None] = {}
        self.is_there = threading.Event()
        self.is_there.set()
        self.was_asked = threading.Event()
        self.refuses: Callable[[Record], bool] = lambda record: False
        self.is_closed = False

    def write(self, records: Sequence[Record], policies: Any, *, again: bool) -> int:
        self.was_asked.set()
        if not self.is_there.is_set():
            raise StoreUnavailable("The database is away.")
        taken = [one for one in records if not self.refuses(one)]
        self.records += taken
        self.batches.append(len(records))
        for one in records:
            self.policies[one.policy, one.policy_version] = policies(one.policy, one.policy_version)
        return len(records) - len(taken)

    def look_after(self) -> bool:
        return False

    def close(self) -> None:
        self.is_closed = True


@contextmanager
def recording(sink: Sink, events: Events | None = None, **options: Any) -> Iterator[Recorder]:
    options = {"memory_bytes": 1 << 20, "wait_s": 0.01} | options
    recorder = Recorder(sink, hashes=HASHES, events=events or Events(), **options)
    try:
        yield recorder
    finally:
        recorder.close(0.0 if not sink.is_there.is_set() else 5.0)


def moderator(recorder: Recorder, engine: FakeEngine | None = None, **parts: Any) -> Moderator:
    cache = VerdictCache(size=0, ttl_s=1)
    return Moderator(engine=engine or FakeEngine(), cache=cache, observers=[recorder], **parts)


def check(text: str, policy: Policy = BUILT_IN["balanced"], **fields: Any) -> Check:
    return Check(Conversation.of(prompt=text), policy, **fields)


def recorded(sink: Sink, recorder: Recorder) -> list[Record]:
    until(lambda: recorder.waiting == 0)
    return sink.records


def test_a_decision_is_recorded_with_all_that_decided_it() -> None:
    sink = Sink()
    context = RequestContext("chat-1", "shop:2026", app="shop", door="moderate", end_user="ab" * 16)
    token = request_context.set(context)
    try:
        with recording(sink, clock=lambda: 1800.0005) as recorder:
            engine = FakeEngine(coverage=Coverage.PARTIAL, is_sure=False)
            [decision] = moderator(recorder, engine).decide([check("How to make a bomb")])
            [record] = recorded(sink, recorder)
    finally:
        request_context.reset(token)
    latency = record.latency_ms
    assert record == Record(
        at=1_800_000,
        decision_id=decision.id,  # type: ignore[union-attr]
        request_id="chat-1",
        app="shop",
        key="shop:2026",
        door="moderate",
        target=0,
        severity=2,
        p_unsafe=0.95,
        p_flagged=0.04 + 0.95,
        categories=1,
        detail=0,
        read_in_part=0,
        refusal=None,
        coverage=1,
        is_sure=False,
        action=2,
        policy="balanced",
        policy_version=BUILT_IN["balanced"].version,
        tool=None,
        engine="fake",
        model="fake-1",
        reason=None,
        error=None,
        degraded=False,
        cached=False,
        windows=1,
        span_start=None,
        span_end=None,
        chars=18,
        latency_ms=latency,
        text_hash=HASHES.text("How to make a bomb").hex(),
        user_hash="ab" * 16,
        list_entry=None,
        list_action=None,
        escalated=None,
        shadow=[],
        kept=None,
    )
    assert sink.policies == {("balanced", record.policy_version): BUILT_IN["balanced"]}
    assert sink.is_closed


def test_what_an_escalation_made_of_a_decision_stands_apart_from_the_verdict() -> None:
    sink = Sink()

    def escalate(check: Check, decision: Decision, fingerprint: bytes) -> Decision:
        return replace(decision, action=Action.BLOCK, escalated_until=1.0)

    with recording(sink) as recorder:
        moderator(recorder, after=escalate).decide([check("bread")])
        [record] = recorded(sink, recorder)
    assert (record.severity, record.action, record.escalated) == (0, 2, 2)


def test_the_entry_of_a_list_that_acted_is_recorded() -> None:
    sink = Sink()

    def list_it(check: Check, decision: Decision, fingerprint: bytes) -> Decision:
        by = ListedBy("drugs", "e-12", "block", "", Span(0, 5))
        return replace(decision, action=Action.BLOCK, listed_by=by)

    with recording(sink) as recorder:
        moderator(recorder, after=list_it).decide([check("bread")])
        [record] = recorded(sink, recorder)
    assert (record.list_entry, record.list_action, record.severity) == ("drugs/e-12", 2, 0)


def test_what_watching_policies_would_have_done_is_recorded_with_what_they_are() -> None:
    sink = Sink()
    strict, loose = BUILT_IN["strict"], BUILT_IN["loose"]
    watched = replace(BUILT_IN["balanced"], name="watched", shadow=(strict, loose))
    with recording(sink) as recorder:
        moderator(recorder).decide([check("an election", watched)])
        [record] = recorded(sink, recorder)
        assert record.shadow == [("strict", strict.version, 2), ("loose", loose.version, 0)]
        assert recorder._policy("strict", strict.version) == strict


def test_the_engines_failure_is_recorded_even_where_the_embedded_engine_answers() -> None:
    sink = Sink()
    failing = FakeEngine(raises=DeadlineExceeded("too slow", reason=FailureReason.TIMEOUT))
    with recording(sink) as recorder:
        moderator(recorder, failing, fallback=FakeEngine(name="lite")).decide([check("a bomb")])
        [record] = recorded(sink, recorder)
    assert (record.engine, record.reason, record.degraded, record.action) == ("lite", "timeout", True, 2)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TooLarge("The text is too long."), ("too_large", None)),
        (EngineUnavailable("It is away.", reason=FailureReason.UNREACHABLE), ("engine_unavailable", "unreachable")),
    ],
    ids=["caller", "engine"],
)
def test_a_check_without_a_decision_is_recorded_apart_with_its_error(
    error: Any, expected: tuple[str, str | None]
) -> None:
    sink = Sink()
    with recording(sink) as recorder:
        moderator(recorder, FakeEngine(errors={"bomb": error})).decide([check("a bomb")])
        [record] = recorded(sink, recorder)
    assert (record.error, record.reason) == expected
    assert (record.action, record.severity) == (3, None)


@pytest.mark.parametrize(
    ("policy", "detail", "expected"),
    [("balanced", Detail.FULL, 0), ("balanced", Detail.SEVERITY, 1)],
)
def test_how_much_was_asked_of_the_engine_is_recorded(policy: str, detail: Detail, expected: int) -> None:
    sink = Sink()
    with recording(sink) as recorder:
        moderator(recorder).decide([check("a bomb", BUILT_IN[policy], detail=detail)])
        assert [one.detail for one in recorded(sink, recorder)] == [expected]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (KeepText.NONE, []),
        (KeepText.BLOCKED, ["a bomb"]),
        (KeepText.FLAGGED, ["a bomb", "an election"]),
        (KeepText.ALL, ["a bomb", "an election", "bread"]),
    ],
)
def test_a_policy_says_which_texts_are_kept(keep: KeepText, kept: list[str]) -> None:
    balanced = BUILT_IN["balanced"]
    policy = Policy("own", "", balanced.rules, keep_text=keep, retention_days=3)
    sink = Sink()
    with recording(sink) as recorder:
        moderator(recorder).decide([check(text, policy) for text in ("a bomb", "an election", "bread")])
        records = recorded(sink, recorder)
    assert [one.kept for one in records if one.kept] == [Kept(text, [], 3) for text in kept]


def test_a_name_of_a_tool_that_is_no_text_keeps_no_decision_out_of_the_records() -> None:
    rules = BUILT_IN["balanced"].rules
    policy = Policy("own", "", rules, tools=[ToolRules("*", *rules.values())])
    sink, events = Sink(), Events()
    with recording(sink, events) as recorder:
        made_up = replace(Conversation.of(prompt="a bomb"), tool="search\udc00" + "x" * 1000)
        moderator(recorder).decide([Check(made_up, policy)])
        [record] = recorded(sink, recorder)
    assert (record.tool, events.dropped) == ("search?" + "x" * 193, 0)


def test_without_a_policy_that_keeps_text_none_is_handed_over() -> None:
    sink = Sink()
    sink.is_there.clear()
    with recording(sink) as recorder:
        moderator(recorder).decide([check("a bomb under the bridge")])
        assert sink.was_asked.wait(30)
        moderator(recorder).decide([check("under the bridge, once more")])
        # It is not even kept until the database is there again.
        until(lambda: not recorder._queue.left)
        waiting = b"".join(recorder._queue.lines) + repr(sink.records).encode()
    assert len(recorder._queue.lines) == 1
    assert b"bridge" not in waiting


def test_long_texts_do_not_wait_for_the_writer_as_they_are() -> None:
    sink = Sink()
    with recording(sink, wait_s=60) as recorder:
        moderated = moderator(recorder)
        for number in range(30):
            moderated.decide([check(f"{number} " + "words " * 30_000)])
        assert recorder.waiting == 30
        assert sum(len(one.check.conversation.prompt) for one in recorder._queue.left) <= 1_000_000
    assert [one.chars > 180_000 for one in sink.records] == [True] * 30


def test_records_are_written_in_the_order_of_the_decisions() -> None:
    sink = Sink()
    with recording(sink, wait_s=60) as recorder:
        moderated = moderator(recorder)
        for number in range(700):
            moderated.decide([check("x" * (number + 1))])
    assert [one.chars for one in sink.records] == list(range(1, 701))


def test_a_verdict_does_not_wait_for_a_database_that_hangs() -> None:
    sink = Sink()
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(record: Record) -> bool:
        hangs.set()
        assert goes_on.wait(30)
        return False

    sink.refuses = hang
    with recording(sink) as recorder:
        moderated = moderator(recorder)
        moderated.decide([check("one")])
        assert hangs.wait(30)
        # The writer is held up until this thread lets it go on.
        moderated.decide([check(f"number {number}") for number in range(2000)])
        assert recorder.waiting == 2001
        goes_on.set()
        assert len(recorded(sink, recorder)) == 2001
    assert max(sink.batches) == 500


def test_what_was_decided_while_the_database_was_away_is_caught_up_with(caplog: pytest.LogCaptureFixture) -> None:
    sink, events = Sink(), Events()
    sink.is_there.clear()
    with recording(sink, events) as recorder:
        moderated = moderator(recorder)
        moderated.decide([check(f"number {number}") for number in range(1200)])
        assert sink.was_asked.wait(30)
        moderated.decide([check("the last one")])
        sink.is_there.set()
        records = recorded(sink, recorder)
    assert len({one.decision_id for one in records}) == len(records) == 1201
    assert records[-1].chars == len("the last one")
    assert (events.written, events.dropped, events.waiting) == (1201, 0, 0)
    said = [record.message for record in caplog.records if record.name == "moderation.store"]
    assert said == ["store_unavailable"], "once, however often it was tried"


def test_an_outage_of_two_hours_at_fifty_a_second_fits_into_the_bound() -> None:
    # A record is as long whatever the time between them, so the time is left out.
    sink = Sink()
    sink.is_there.clear()
    with recording(sink, memory_bytes=1 << 30) as recorder:
        checks = [check("How do I get to the station from here?") for _ in range(200)]
        token = request_context.set(RequestContext("0" * 32, "key-of-the-shop", door="/v1/chat/completions"))
        try:
            moderator(recorder).decide(checks)
        finally:
            request_context.reset(token)
        each = recorder._queue.bytes / 200
    of_one_of_two_workers = each * 2 * 3600 * 50 / 2
    assert of_one_of_two_workers < 128 * 1024 * 1024


def test_beyond_the_bound_the_newest_are_dropped_and_counted() -> None:
    sink, events = Sink(), Events()
    sink.is_there.clear()
    with recording(sink, events, memory_bytes=10_000) as recorder:
        moderated = moderator(recorder)
        moderated.decide([check("first")])
        moderated.decide([check(f"number {number}") for number in range(100)])
        waiting = recorder.waiting
        assert 10 < waiting < 60
        assert events.dropped == 101 - waiting
        sink.is_there.set()
        records = recorded(sink, recorder)
        assert len(records) == waiting
        assert records[0].chars == len("first")
        # There is room again.
        moderated.decide([check("after it")])
        assert len(recorded(sink, recorder)) == waiting + 1


def test_what_the_database_refuses_is_counted() -> None:
    sink, events = Sink(), Events()
    sink.refuses = lambda record: record.chars == 3
    with recording(sink, events) as recorder:
        moderator(recorder).decide([check("one"), check("three")])
        recorded(sink, recorder)
    assert (events.written, events.dropped) == (1, 1)


def test_a_fault_that_nobody_thought_of_loses_its_batch_and_not_the_writer(caplog: pytest.LogCaptureFixture) -> None:
    sink, events = Sink(), Events()

    def fail(record: Record) -> bool:
        if record.chars == len("odd"):
            raise KeyError("what someone wrote")
        return False

    sink.refuses = fail
    with recording(sink, events) as recorder:
        moderated = moderator(recorder)
        moderated.decide([check("odd")])
        recorded(sink, recorder)
        moderated.decide([check("after it")])
        assert [one.chars for one in recorded(sink, recorder)] == [len("after it")]
    assert (events.written, events.dropped) == (1, 1)
    assert [one.message for one in caplog.records if one.exc_info] == ["records_not_written"]


def test_what_can_not_be_looked_after_does_not_end_the_writer() -> None:
    sink = Sink()

    def fail() -> bool:
        raise KeyError("odd")

    sink.look_after = fail  # type: ignore[method-assign]
    with recording(sink) as recorder:
        moderated = moderator(recorder)
        for number in range(1, 4):
            moderated.decide([check("one")])
            assert len(recorded(sink, recorder)) == number


def test_tables_of_a_newer_program_are_waited_for_as_a_database_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    sink, events = Sink(), Events()
    tables_are_newer = [True, True, False]

    def is_newer(record: Record) -> bool:
        if tables_are_newer.pop(0):
            raise ConfigurationError("store: the tables are of a newer program (version 9); update this one.")
        return False

    sink.refuses = is_newer
    with recording(sink, events) as recorder:
        moderator(recorder).decide([check("one")])
        assert len(recorded(sink, recorder)) == 1
    assert (events.written, events.dropped) == (1, 0)
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == ["store_unavailable"]


def test_closing_writes_what_waits() -> None:
    sink = Sink()
    recorder = Recorder(sink, hashes=HASHES, events=Events(), memory_bytes=1 << 20, wait_s=60)
    moderator(recorder).decide([check(f"number {number}") for number in range(700)])
    recorder.close()
    assert len(sink.records) == 700


def test_what_is_decided_after_closing_is_counted_as_lost_and_not_kept() -> None:
    sink, events = Sink(), Events()
    with recording(sink, events) as recorder:
        moderator(recorder).decide([check("one")])
    moderator(recorder).decide([check("two"), check("three")])
    assert (len(sink.records), events.dropped, recorder.waiting) == (1, 2, 0)


def test_closing_while_the_database_is_away_ends_in_time_and_says_what_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink, events = Sink(), Events()
    sink.is_there.clear()
    recorder = Recorder(sink, hashes=HASHES, events=events, memory_bytes=1 << 20, wait_s=0.01)
    moderator(recorder).decide([check("one"), check("two")])
    recorder.close(0.2)
    recorder.close(0.2)
    assert events.dropped == 2
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == ["records_lost"]
