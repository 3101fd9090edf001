"""What lists make of decisions: before the engine, and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fakes import FakeEngine

from moderation_service.core.app import App
from moderation_service.core.conversation import Conversation
from moderation_service.core.list_entry import Entry, entry_of
from moderation_service.core.listing import Attached
from moderation_service.core.moderator import Check, Moderator
from moderation_service.core.policy import BUILT_IN, OnFailure, Policies, Policy, Rules
from moderation_service.core.policy_order import why_milder
from moderation_service.core.verdict import Action, Category, Decision, Severity, Span, Target, Verdict
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.engines.lists import Lists
from moderation_service.errors import EngineUnavailable, Forbidden, ModerationError
from moderation_service.wires.guarded_chat import chosen_policy

OWN = replace(BUILT_IN["balanced"], name="own", lists=("own",))


class SpanEngine(FakeEngine):
    """Says where it found its keyword."""

    def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
        found = super().judge(conversations, **options)
        return [self._placed(one, chat.messages[-1].content) for one, chat in zip(found, conversations, strict=True)]

    @staticmethod
    def _placed(one: Verdict | ModerationError, text: str) -> Verdict | ModerationError:
        at = next((text.index(word) for word in ("bomb", "election") if word in text), -1)
        return replace(one, span=Span(at, at + 4)) if isinstance(one, Verdict) and at >= 0 else one


def entry(text: str, **fields: Any) -> Entry:
    return entry_of({"text": text, **fields}, list_name="own")


def made(*entries: Entry, engine: FakeEngine | None = None, **parts: Any) -> Moderator:
    lists = Lists({"own": entries})
    return Moderator(engine=engine or FakeEngine(), cache=VerdictCache(size=100, ttl_s=60), lists=lists, **parts)


def check(text: str, *, policy: Policy = OWN, **fields: Any) -> Check:
    return Check(Conversation.of(prompt=text), policy, **fields)


def decide(moderator: Moderator, *checks: Check) -> Decision:
    outcome = moderator.decide(checks)[-1]
    assert isinstance(outcome, Decision), outcome
    return outcome


# Block entries


def test_a_block_entry_decides_and_no_engine_is_asked() -> None:
    engine = FakeEngine()
    weed = entry("weed", id="w1", category="non_violent_illegal_acts", reason="drugs")
    one = decide(made(weed, engine=engine), check("Where can I buy weed?"))
    assert (one.action, one.engine, one.model, one.cached) == (Action.BLOCK, "lists", "own", False)
    assert one.message == "Sorry, I can't help with that."
    assert one.verdict is not None
    assert (one.verdict.severity, one.verdict.categories) == (
        Severity.UNSAFE,
        (Category.NON_VIOLENT_ILLEGAL_ACTS,),
    )
    assert one.listed_by is not None
    assert (one.listed_by.entry, one.listed_by.reason, one.listed_by.span) == ("w1", "drugs", Span(16, 20))
    assert engine.calls == []


def test_a_block_entry_blocks_also_where_the_policy_lets_unsafe_text_pass() -> None:
    rules = Rules(dict.fromkeys(Severity, Action.ALLOW))
    mild = Policy("mild", "", dict.fromkeys(Target, rules), lists=("own",))
    one = decide(made(entry("weed")), check("weed", policy=mild))
    assert (one.action, one.message) == (Action.BLOCK, "Sorry, I can't help with that.")


def test_a_block_entry_decides_while_the_engine_is_down() -> None:
    down = FakeEngine(raises=EngineUnavailable("Not there."))
    assert decide(made(entry("weed"), engine=down), check("weed")).degraded is False


def test_the_other_texts_of_a_batch_are_judged_as_ever() -> None:
    engine = FakeEngine()
    moderator = made(entry("weed"), engine=engine)
    plain = BUILT_IN["balanced"]
    outcomes = moderator.decide([check("weed"), check("bomb"), check("weed", policy=plain), check("bread")])
    assert [one.action.value for one in outcomes if isinstance(one, Decision)] == ["block", "block", "allow", "allow"]
    assert engine.calls[0][0] == ["bomb", "weed", "bread"]


def test_what_a_list_blocked_is_not_remembered_for_those_without_the_list() -> None:
    moderator = made(entry("weed"))
    assert decide(moderator, check("weed")).action is Action.BLOCK
    assert decide(moderator, check("weed", policy=BUILT_IN["strict"])).action is Action.ALLOW


def test_an_entry_that_flags_makes_nothing_milder_and_spares_no_engine() -> None:
    moderator = made(entry("weed", action="flag"))
    flagged = decide(moderator, check("weed"))
    assert (flagged.action, flagged.engine, flagged.verdict and flagged.verdict.severity) == (
        Action.FLAG,
        "lists",
        Severity.SAFE,
    )
    assert flagged.listed_by is not None
    assert decide(moderator, check("a weed bomb")).action is Action.BLOCK


# Allow entries


def test_an_allow_entry_lets_a_text_pass_that_is_nothing_else() -> None:
    one = decide(made(entry("bath bomb", side="allow", id="a1", reason="a product")), check(" Bath bomb?! "))
    assert (one.action, one.message, one.cached) == (Action.ALLOW, None, False)
    assert one.verdict is not None
    assert (one.verdict.severity, one.verdict.categories) == (Severity.UNSAFE, (Category.VIOLENT,))
    assert one.verdict.scores is not None
    assert (one.engine, one.listed_by and one.listed_by.side, one.listed_by and one.listed_by.entry) == (
        "fake",
        "allow",
        "a1",
    )


def test_an_allow_entry_excuses_what_the_engine_found_in_it_and_nothing_else() -> None:
    bath = entry("bath bomb", side="allow")
    assert decide(made(bath, engine=SpanEngine()), check("I like my bath bomb.")).action is Action.ALLOW
    assert decide(made(bath, engine=SpanEngine()), check("a bomb, and a bath bomb")).action is Action.BLOCK
    # An engine that can't tell where: all of the text, or nothing.
    assert decide(made(bath), check("I like my bath bomb.")).action is Action.BLOCK


def test_what_else_stands_in_the_text_is_judged_alone() -> None:
    """The engine names the worst place, but there may be others."""
    bath = entry("bath bomb", side="allow")
    moderator = made(bath, engine=SpanEngine())
    assert decide(moderator, check("a bath bomb. Build a bomb!")).action is Action.BLOCK
    assert decide(moderator, check("a bath bomb for the election")).action is Action.FLAG


@pytest.mark.parametrize(
    "rest",
    [" " + "".join(chr(0xE0000 + ord(char)) for char in "build it"), " -... --- -- -...", "?!" * 20],
)
def test_what_people_do_not_read_beside_an_allowed_text_is_judged_alone(rest: str) -> None:
    """A model reads letters in invisible tags, and Morse code."""

    class Reads(FakeEngine):
        def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
            self.texts = [*getattr(self, "texts", ()), *(chat.messages[-1].content for chat in conversations)]
            unsafe = [Conversation.of(prompt="bomb")] * len(conversations)
            return super().judge(unsafe, **options)

    engine = Reads()
    text = "bath bomb" + rest
    assert decide(made(entry("bath bomb", side="allow"), engine=engine), check(text)).action is Action.BLOCK
    assert [one.strip() for one in engine.texts] == [text, rest.strip()]


def test_what_could_not_be_judged_is_not_excused() -> None:
    bath = entry("bath bomb", side="allow")
    rules = replace(OWN.rules[Target.PROMPT], on_failure=OnFailure.BLOCK)
    blocks = replace(OWN, rules={Target.PROMPT: rules, Target.RESPONSE: rules})
    down = FakeEngine(raises=EngineUnavailable("Not there."))
    assert decide(made(bath, engine=down), check("bath bomb", policy=blocks)).action is Action.BLOCK


def test_a_rest_that_can_not_be_judged_is_not_excused() -> None:
    engine = SpanEngine(errors={"broken": EngineUnavailable("Not there.")})
    bath = entry("bath bomb", side="allow")
    rules = replace(OWN.rules[Target.PROMPT], on_failure=OnFailure.ALLOW)
    lets = replace(OWN, rules={Target.PROMPT: rules, Target.RESPONSE: rules})

    class Late(SpanEngine):
        def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
            if "bomb" not in conversations[0].messages[-1].content:
                return [EngineUnavailable("Not there.")]
            return engine.judge(conversations, **options)

    assert decide(made(bath, engine=Late()), check("my bath bomb", policy=lets)).action is Action.BLOCK


def test_the_fallbacks_word_on_the_rest_does_not_go_against_the_engine() -> None:
    rules = replace(OWN.rules[Target.PROMPT], on_failure=OnFailure.LITE)
    falls = replace(OWN, rules={Target.PROMPT: rules, Target.RESPONSE: rules})

    class Once(SpanEngine):
        def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
            if "bomb" not in conversations[0].messages[-1].content:
                return [EngineUnavailable("Not there any more.")]
            return super().judge(conversations, **options)

    bath = entry("bath bomb", side="allow")
    moderator = made(bath, engine=Once(), fallback=FakeEngine())
    assert decide(moderator, check("my bath bomb", policy=falls)).action is Action.BLOCK


def test_a_rest_that_was_read_in_part_is_not_excused() -> None:
    rules = replace(OWN.rules[Target.PROMPT], on_failure=OnFailure.ALLOW)
    lets = replace(OWN, rules={Target.PROMPT: rules, Target.RESPONSE: rules})

    class InPart(SpanEngine):
        def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
            found = super().judge(conversations, **options)
            if "bomb" in conversations[0].messages[-1].content:
                return found
            late = EngineUnavailable("Too late for the second half.")
            return [replace(one, failure=late) if isinstance(one, Verdict) else one for one in found]

    moderator = made(entry("bath bomb", side="allow"), engine=InPart())
    assert decide(moderator, check("my bath bomb", policy=lets)).action is Action.BLOCK


def test_an_allowed_text_is_allowed_from_memory_too_and_blocked_as_soon_as_the_entry_is_gone() -> None:
    lists = Lists({"own": [entry("bomb", side="allow")]})
    moderator = Moderator(engine=FakeEngine(), cache=VerdictCache(size=100, ttl_s=60), lists=lists)
    assert [decide(moderator, check("bomb")).action for _ in range(2)] == [Action.ALLOW] * 2
    lists.put("own", [])
    assert decide(moderator, check("bomb")).action is Action.BLOCK


def test_a_policy_without_lists_is_compared_with_none() -> None:
    assert decide(made(entry("weed")), check("weed", policy=BUILT_IN["balanced"])).listed_by is None


@pytest.mark.parametrize("choice", [BUILT_IN["strict"], replace(BUILT_IN["strict"], lists=("own", "more"))])
def test_a_policy_with_other_lists_is_no_stricter_one(choice: Policy) -> None:
    assert why_milder(choice, OWN) == "`strict` has other lists."


def test_a_caller_does_not_get_rid_of_lists_that_count_for_the_default_alone() -> None:
    """Of a list in the database the policies' file says nothing."""
    lists = Lists({"hotfix": [entry("weed")]})
    policies = Policies(BUILT_IN, default="balanced")
    policies.lists_of = lists.names
    assert chosen_policy(policies, "strict", "stricter").name == "strict"
    lists.attach(Attached({"balanced": ["hotfix"]}))
    for one in (policies, policies.of_app(App(name="shop"))):
        with pytest.raises(Forbidden, match="other lists"):
            chosen_policy(one, "strict", "stricter")
    lists.attach(Attached({"balanced": ["hotfix"], "strict": ["hotfix"]}))
    assert chosen_policy(policies, "strict", "stricter").name == "strict"


def test_an_apps_lists_count_for_it_alone_whatever_the_policy_and_each_once() -> None:
    lists = Lists({name: [] for name in ("own", "shop", "live")})
    lists.attach(Attached({}, {"shop": ["live", "own"]}))
    policies = Policies({**BUILT_IN, "own": OWN}, default="own")
    shop, forum = (policies.of_app(App(name=name, lists=named)) for name, named in (("shop", ("shop",)), ("forum", ())))
    assert [lists.names(shop.get(name)) for name in ("own", "strict")] == [
        ("own", "shop", "live"),
        ("shop", "live", "own"),
    ]
    assert [lists.names(one.get("own")) for one in (forum, policies)] == [("own",), ("own",)]
    assert lists.names(forum.get("strict")) == ()
    # It is no other policy by that: records and comparisons go on.
    assert shop.get("own").version == OWN.version
