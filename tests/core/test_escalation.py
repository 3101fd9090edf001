from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.escalation import NOTHING, Escalation, Standing
from moderation_service.core.verdict import Action

RULE = Escalation(after_blocks=3, within_minutes=10, action=Action.BLOCK, for_minutes=60)
NOW = 1_000_000.0
RULES = st.builds(
    Escalation,
    after_blocks=st.integers(1, 4),
    within_minutes=st.floats(0.1, 30),
    action=st.sampled_from([Action.FLAG, Action.BLOCK]),
    for_minutes=st.floats(0.1, 60),
)


def after(*blocks: tuple[float, str], rule: Escalation = RULE) -> Standing:
    standing = NOTHING
    for at, text in blocks:
        standing = standing.after_block(rule, now=NOW + at, text=text)
    return standing


def test_so_many_blocks_within_the_time_begin_it_and_it_ends_by_itself() -> None:
    assert after((0, "a"), (60, "b")).action_at(NOW + 60) is None
    begun = after((0, "a"), (60, "b"), (599, "c"))
    assert begun.until == NOW + 599 + 3600
    assert begun.action_at(NOW + 600) is Action.BLOCK
    assert begun.action_at(NOW + 599 + 3600) is None


def test_blocks_that_are_too_far_apart_do_not_add_up() -> None:
    assert after((0, "a"), (300, "b"), (601, "c")).action_at(NOW + 601) is None


def test_one_text_counts_once_however_often_it_is_sent() -> None:
    assert after(*[(at, "a") for at in range(10)], (11, "b")).action_at(NOW + 12) is None


def test_it_goes_on_for_those_who_do() -> None:
    again = after(*[(at, str(at)) for at in range(6)])
    assert again.until == NOW + 5 + 3600


def test_another_rule_makes_a_running_one_neither_shorter_nor_milder() -> None:
    milder = Escalation(after_blocks=1, within_minutes=1, action=Action.FLAG, for_minutes=1)
    begun = after((0, "a"), (1, "b"), (2, "c"))
    then = begun.after_block(milder, now=NOW + 3, text="d")
    assert (then.action, then.until) == (Action.BLOCK, begun.until)


@given(rule=RULES, gaps=st.lists(st.tuples(st.floats(0, 900), st.sampled_from("abcdef")), max_size=30))
def test_it_runs_exactly_when_so_many_different_texts_were_blocked_in_time(
    rule: Escalation, gaps: list[tuple[float, str]]
) -> None:
    now, standing, recent = NOW, NOTHING, {}
    for gap, text in gaps:
        now += gap
        before = standing
        standing = standing.after_block(rule, now=now, text=text)
        recent = {one: at for one, at in recent.items() if at > now - rule.within_minutes * 60}
        recent.setdefault(text, now)
        if len(recent) >= rule.after_blocks:
            assert standing.action_at(now) is rule.action
            assert standing.until >= before.until
            recent = {}
        else:
            assert standing.until == before.until
        assert len(standing.blocks) < rule.after_blocks
        assert Standing.decode(standing.encode()) == standing


def test_what_is_not_known_stands_for_nothing() -> None:
    assert Standing.decode(None) == NOTHING
