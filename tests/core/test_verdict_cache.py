from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fakes import verdict
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.conversation import Conversation, Limits, Message, Role
from moderation_service.core.verdict import Category, Detail, Scores, Severity, Verdict
from moderation_service.core.verdict_cache import Fingerprint, VerdictCache

FULL, SEVERITY = Detail
UNSAFE = verdict(Severity.UNSAFE, Category.VIOLENT)
BARE = verdict(Severity.UNSAFE)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cache(*, size: int = 3, ttl_s: float = 60.0, clock: Clock | None = None) -> VerdictCache:
    return VerdictCache(size=size, ttl_s=ttl_s, clock=clock or Clock())


def test_a_verdict_is_remembered() -> None:
    remembered = cache()
    assert remembered.get(b"a", FULL) is None
    remembered.put(b"a", FULL, UNSAFE)
    assert remembered.get(b"a", FULL) is UNSAFE
    assert remembered.get(b"b", FULL) is None
    assert len(remembered) == 1


def test_full_detail_answers_for_the_severity_but_not_the_other_way_round() -> None:
    remembered = cache()
    remembered.put(b"a", SEVERITY, BARE)
    assert remembered.get(b"a", SEVERITY) is BARE
    assert remembered.get(b"a", FULL) is None
    remembered.put(b"a", FULL, UNSAFE)
    assert remembered.get(b"a", SEVERITY) is UNSAFE


def test_where_a_larger_model_was_asked_its_probabilities_count_though_the_small_one_said_more() -> None:
    small = replace(verdict(scores=Scores(0.99, 0.01, 0.0)), by_small=True)
    large = verdict(scores=Scores(0.6, 0.0, 0.4))
    remembered = cache()
    remembered.put(b"a", FULL, small)
    assert remembered.put(b"a", SEVERITY, large) is large
    assert remembered.get(b"a", SEVERITY) is large


def test_a_verdict_is_forgotten_after_its_time() -> None:
    clock = Clock()
    remembered = cache(ttl_s=60.0, clock=clock)
    remembered.put(b"a", FULL, UNSAFE)
    clock.now = 59.9
    assert remembered.get(b"a", FULL) is UNSAFE
    clock.now = 60.0
    assert remembered.get(b"a", FULL) is None
    assert len(remembered) == 0


def test_being_asked_for_does_not_make_a_verdict_live_longer() -> None:
    clock = Clock()
    remembered = cache(ttl_s=60.0, clock=clock)
    remembered.put(b"a", FULL, UNSAFE)
    clock.now = 50.0
    assert remembered.get(b"a", FULL) is UNSAFE
    clock.now = 61.0
    assert remembered.get(b"a", FULL) is None


def test_the_least_recently_used_verdict_goes_first() -> None:
    remembered = cache(size=3)
    for name in (b"a", b"b", b"c"):
        remembered.put(name, FULL, UNSAFE)
    remembered.get(b"a", FULL)
    remembered.put(b"d", FULL, UNSAFE)
    assert [name for name in (b"a", b"b", b"c", b"d") if remembered.get(name, FULL)] == [b"a", b"c", b"d"]


def test_it_never_holds_more_than_its_size() -> None:
    remembered = cache(size=10)
    for number in range(1000):
        remembered.put(number.to_bytes(4, "big"), random.Random(number).choice((FULL, SEVERITY)), UNSAFE)
        assert len(remembered) <= 10


def test_size_zero_remembers_nothing() -> None:
    remembered = cache(size=0)
    remembered.put(b"a", FULL, UNSAFE)
    assert remembered.get(b"a", FULL) is None
    assert len(remembered) == 0


def test_many_threads_can_use_it_at_once_and_never_get_another_texts_verdict() -> None:
    remembered = VerdictCache(size=50, ttl_s=0.001)
    verdicts = {name.to_bytes(2, "big"): verdict(random.Random(name).choice(list(Severity))) for name in range(200)}
    expected = {name: id(one) for name, one in verdicts.items()}

    def hammer(seed: int) -> int:
        source, hits = random.Random(seed), 0
        for _ in range(2000):
            name = source.choice(list(verdicts))
            found: Verdict | None = remembered.get(name, FULL)
            if found is None:
                remembered.put(name, FULL, verdicts[name])
            else:
                hits += 1
                assert id(found) == expected[name]
            assert len(remembered) <= 50
        return hits

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(hammer, range(8))) > 0


# Fingerprints


def turns(*pairs: tuple[str, str]) -> Conversation:
    return Conversation(tuple(Message(Role(role), content) for role, content in pairs))


DISTINCT = [
    turns(("user", "ab")),
    turns(("user", "a"), ("user", "b")),
    turns(("user", "a"), ("assistant", "b")),
    turns(("assistant", "a"), ("user", "b")),
    turns(("user", "a assistant 1 b")),
    turns(("user", ""), ("assistant", "ab")),
    turns(("user", "AB")),
    turns(("user", "ab ")),
    turns(("user", "é")),
    turns(("user", "e\u0301")),
]


def test_different_conversations_have_different_fingerprints() -> None:
    fingerprint = Fingerprint()
    assert len({fingerprint.of(one) for one in DISTINCT}) == len(DISTINCT)


def test_a_fingerprint_is_the_same_for_the_same_turns_and_says_nothing_without_the_key() -> None:
    one, other = Fingerprint(b"k" * 32), Fingerprint(b"q" * 32)
    conversation = Conversation.of(prompt="Hello")
    assert one.of(conversation) == Fingerprint(b"k" * 32).of(Conversation.of(prompt="Hello"))
    assert one.of(conversation) != other.of(conversation)
    assert Fingerprint().of(conversation) != Fingerprint().of(conversation)
    assert len(one.of(conversation)) == 16


messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text("a0 \n", min_size=1)}),
    min_size=1,
    max_size=3,
)


@given(messages, messages)
def test_fingerprints_are_equal_exactly_when_the_judged_turns_are(one: list[object], other: list[object]) -> None:
    fingerprint = Fingerprint(b"k" * 32)
    one, other = ([*each, {"role": "user", "content": "x"}] for each in (one, other))
    conversations = [Conversation.from_messages(each, limits=Limits()) for each in (one, other)]
    prints = [fingerprint.of(conversation) for conversation in conversations]
    assert (prints[0] == prints[1]) == (conversations[0] == conversations[1])


def test_the_key_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "kkkk" not in repr(Fingerprint(b"k" * 32))
