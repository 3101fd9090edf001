from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from cpu_time import is_within
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation_service.core.list_entry import Entry, entry_of
from moderation_service.core.text_views.normal import normal_view
from moderation_service.core.verdict import Target
from moderation_service.engines.lists import Lists, Matcher
from moderation_service.errors import ConfigurationError


def entry(text: str, **fields: Any) -> Entry:
    return entry_of({"text": text, **fields}, list_name="own")


def lists(*entries: Entry | str, **parts: Any) -> Lists:
    return Lists({"own": [one if isinstance(one, Entry) else entry(one) for one in entries]}, **parts)


def found(made: Lists, text: str, *, target: Target = Target.PROMPT, is_open: bool = False) -> str | None:
    """What of the text a block entry found."""
    listing = made.find(["own"], target, text, is_open=is_open)
    hit = listing.block if listing is not None else None
    return None if hit is None else text[hit.span.start : hit.span.end]


# Words


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("buy weed!", "weed"),
        ("WEED", "WEED"),
        ("ＷＥＥＤ", "ＷＥＥＤ"),
        ("we\u200bed", "we\u200bed"),
        ("wéëd", "wéëd"),
        ("买weed吧", "weed"),
        ("weed_killer", "weed"),
        ("seaweed", None),
        ("weeds", None),
        ("weed2", None),
        ("wееd", "wееd"),
        ("поле", None),
    ],
)
def test_a_word_is_found_where_it_stands_by_itself(text: str, hit: str | None) -> None:
    assert found(lists("weed"), text) == hit


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("他有大麻", "大麻"),
        ("大麻烦", None),
        ("大麻煩", None),
        ("大麻大麻烦", "大麻"),
        ("卖大麻花和大麻", "大麻"),
        ("大\u200b麻", "大\u200b麻"),
        ("他 卖 大 麻 吗 ？", "大 麻"),
        ("😀大麻😀", "大麻"),
    ],
)
def test_a_chinese_word_is_found_anywhere_but_in_its_exceptions(text: str, hit: str | None) -> None:
    made = lists(entry("大麻", exceptions="大麻烦|大麻花"))
    listing = made.find(["own"], Target.PROMPT, text)
    assert (None if listing is None or listing.block is None else listing.block.entry.text) == (hit and "大麻")
    assert found(made, text) == hit


@pytest.mark.parametrize(
    ("word", "text"),
    [("가", "각"), ("か", "が"), ("กา", "กาํ"), ("ताब", "किताब"), ("книг", "книга"), ("가", "각\u3000나")],
)
def test_a_part_of_a_letter_or_of_a_word_is_no_word(word: str, text: str) -> None:
    assert found(lists(word), text) is None
    assert found(lists(word), f"{word}!") == word


@pytest.mark.parametrize("word", ["c++", "$$$", ".net", "rock'n'roll", "a_b", "-x-", "free $$$ now", "b.a.d", "#1"])
@pytest.mark.parametrize("text", ["{}", "so ({}) it is", "one,{}.", "{} {}", "\t{}\n"])
def test_a_word_with_signs_is_found_in_a_plain_text(word: str, text: str) -> None:
    assert found(lists(word, "another"), text.format(word, word).upper()) == word.upper()
    assert found(lists("another"), text.format(word, word)) is None


def test_words_of_a_phrase_may_have_any_white_space_between_them() -> None:
    made = lists("buy it now")
    assert found(made, "Do  buy \n it\u3000now, please") == "buy \n it\u3000now"
    assert found(made, "buyit now") is None
    assert found(made, "to buy it nowadays") is None


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("see https://evil.example/a?b", "evil.example"),
        ("www.Evil.Example.", "Evil.Example"),
        ("evil。example", "evil。example"),
        ("evil[.]example", "evil[.]example"),
        ("mail me@evil.example", "evil.example"),
        ("点evil.example吧", "evil.example"),
        ("点evil.example.org", None),
        ("点evil.examples", None),
        ("notevil.example", None),
        ("not-evil.example", None),
        ("evil.example.org", None),
        ("evil.examples", None),
    ],
)
def test_a_domain_stands_for_itself_and_what_is_below_it(text: str, hit: str | None) -> None:
    assert found(lists(entry("evil.example", kind="domain")), text) == hit


def test_a_domain_in_other_letters_is_found_in_both_spellings() -> None:
    made = lists(entry("bücher.example", kind="domain"))
    assert found(made, "http://bücher.example") == "bücher.example"
    assert found(made, "http://xn--bcher-kva.example") == "xn--bcher-kva.example"


# Patterns


def test_a_pattern_is_found_without_regard_to_case_and_to_forms_of_its_characters() -> None:
    made = lists(entry(r"order [0-9]{4}", kind="pattern"))
    assert found(made, "My ORDER 1234.") == "ORDER 1234"
    assert found(made, "ｏｒｄｅｒ １２３４ 号") == "ｏｒｄｅｒ １２３４"
    assert found(made, "order 12") is None


@pytest.mark.parametrize("pattern", [r"(?=a)b", r"(a)\1", "a{2000}", "(a", "a*", "", "x|", "^"])
def test_a_pattern_that_cannot_be_used_is_refused_with_its_place_and_the_reason(pattern: str) -> None:
    bad = Entry("p", "own", pattern, kind=entry("x", kind="pattern").kind, origin="lists.csv:7")
    with pytest.raises(ConfigurationError, match=r"lists\.csv:7: the pattern "):
        lists(bad)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a+)+$", "a" * 100_000 + "!"),
        (r"(?:a|a)*b", "a" * 100_000),
        (r"a(?:.*b)?", "a" * 100_000),
        (r"(.*)(.*)(.*)x", "y" * 100_000),
        (r"(?:\w+\s?)+:", "word " * 20_000),
    ],
)
def test_no_pattern_hangs(pattern: str, text: str) -> None:
    made = lists(entry(pattern, kind="pattern"))
    assert is_within(5, lambda: found(made, text))


def test_a_hit_beyond_the_counted_ones_of_a_pattern_is_not_lost_to_its_exceptions() -> None:
    made = lists(entry(r"code \d", kind="pattern", exceptions="code 1"))
    assert found(made, "code 1, " * 5) is None
    assert found(made, "code 1, " * 40 + "code 2") is not None


def test_many_hits_and_exceptions_do_not_take_the_square_of_their_time() -> None:
    made = lists(entry("大麻", exceptions="大麻烦"))

    def compare() -> None:
        assert found(made, "大麻烦" * 20_000) is None

    assert is_within(5, compare)


def test_an_allow_pattern_found_many_times_allows_no_more_than_it_says() -> None:
    made = lists(entry(r"\bkill\b", kind="pattern", side="allow"), entry("bomb"))
    for times in (19, 20, 21, 40):
        text = "kill " * times + "and build a bomb"
        assert found(made, text) == "bomb"
        listing = made.find(["own"], Target.PROMPT, text)
        assert listing is not None
        assert {text[hit.span.start : hit.span.end] for hit in listing.allowed} == {"kill"}


def test_patterns_too_large_for_one_set_are_compared_all_the_same() -> None:
    made = lists(*(entry(f"q{number}[a-z]{{900}}[0-9]{{900}}", kind="pattern") for number in range(120)))
    for number in (0, 60, 119):
        assert found(made, f"q{number}" + "a" * 900 + "1" * 900) is not None


def test_a_text_that_is_nothing_but_listed_words_is_compared_quickly() -> None:
    made = lists("大", "大大", "大大大")

    def compare() -> None:
        assert found(made, "大" * 200_000) == "大大大"

    assert is_within(5, compare)


def test_where_something_is_allowed_every_place_of_a_word_counts() -> None:
    made = lists("bomb", entry("bath bomb", side="allow"))
    assert found(made, "bath bomb, " * 30) is None
    assert found(made, "bath bomb, " * 30 + "bomb") == "bomb"


# What an entry is for


def test_an_entry_counts_for_its_targets_and_until_it_expires() -> None:
    now = [1_000.0]
    made = lists(entry("weed", targets="response", expires="1970-01-01T01:00Z"), now=lambda: now[0])
    assert found(made, "weed", target=Target.RESPONSE) == "weed"
    assert found(made, "weed") is None
    now[0] = 3_600.0
    assert found(made, "weed", target=Target.RESPONSE) is None


def test_an_allow_entry_that_is_longer_takes_a_block_entrys_hit_away() -> None:
    made = lists("bomb", entry("bath bomb", side="allow"))
    assert found(made, "a bath bomb") is None
    assert found(made, "a bath bomb and a bomb") == "bomb"
    assert found(lists("bomb", entry("bomb", side="allow")), "a bomb") == "bomb"


def test_of_several_hits_the_first_counts_and_the_longest_of_those() -> None:
    made = lists("weed", "weed shop", "shop")
    assert found(made, "the weed shop") == "weed shop"


def test_a_lone_half_of_a_surrogate_pair_is_compared_too() -> None:
    assert found(lists("weed"), "\ud83d weed") == "weed"


# Edits


def test_an_edit_adds_changes_and_removes_while_the_big_part_stays() -> None:
    words = [entry(f"word{number}") for number in range(3_000)]
    made = Matcher(words)
    changed = entry("word7", id=words[7].id, exceptions="word7 day")
    edited = made.edited([*words[:5], changed, *words[8:], entry("new")])
    assert len(edited) == 3_000 - 3 + 2
    assert [hit[0].text for hit in edited.words("word6 word7 day new word9") if not hit[1]] == ["word9", "word7", "new"]
    back = edited.edited(words)
    assert sorted(hit[0].text for hit in back.words("word6 word7 new")) == ["word6", "word7"]


def test_a_list_with_the_same_entries_is_the_same() -> None:
    made = Matcher([entry("weed")])
    assert made.edited([entry("weed")]) is made


def test_a_bad_edit_leaves_the_list_as_it_was() -> None:
    made = lists("weed")
    with pytest.raises(ConfigurationError, match="list own, entry e-"):
        made.put("own", [entry("(", kind="pattern")])
    assert found(made, "weed") == "weed"


# Against the plainest way to do it

ALPHABET = st.sampled_from(["a", "b", "A", " ", "大", "麻", "烦", "煩", "é", "\u200b", "-", "1", "ａ", "가", "\n"])
WORDS = st.text(ALPHABET, min_size=1, max_size=4).filter(
    lambda text: normal_view(text).text.strip() and "\n" not in text
)


PLAIN = st.sampled_from("aabbA1  -.$_'")
"""Of ASCII alone: what has none of a list's words is not compared letter by letter."""
PLAIN_WORDS = st.text(PLAIN, min_size=1, max_size=4).filter(str.strip)


def of_word(char: str) -> bool:
    in_spaced = char.isascii() or (unicodedata.category(char)[0] in "LN" and char < "\u1100")
    return char.isalnum() and in_spaced


def naive(words: list[str], text: str) -> set[tuple[str, int, int]]:
    """Every place of every word, found by trying all places of the text as it was given."""
    hits = set()
    for word in words:
        wanted = " ".join(normal_view(word).text.split())
        for start in range(len(text)):
            for end in range(start + 1, len(text) + 1):
                views = [normal_view(text[at]).text for at in (start, end - 1)]
                if not all(views) or " ".join(["", *normal_view(text[start:end]).text.split(), ""]).strip() != wanted:
                    continue
                if any(view.isspace() for view in views):
                    continue
                before, inside = normal_view(text[:start]).text, normal_view(text[start:end]).text
                after = normal_view(text[end:]).text
                if before and of_word(before[-1]) and of_word(inside[0]):
                    continue
                if after and (of_word(after[0]) and of_word(inside[-1])):
                    continue
                hits.add((wanted, start, end))
    return hits


@settings(max_examples=160, deadline=None)
@given(
    st.lists(WORDS, min_size=1, max_size=4) | st.lists(PLAIN_WORDS, min_size=1, max_size=4),
    st.text(ALPHABET, max_size=14) | st.text(PLAIN, max_size=14),
)
def test_the_same_is_found_as_by_trying_every_place(words: list[str], text: str) -> None:
    entries = {one.id: one for one in (entry(word, side="allow") for word in words)}
    listing = lists(*entries.values()).find(["own"], Target.PROMPT, text)
    hits = () if listing is None else listing.allowed
    mine = {(" ".join(normal_view(hit.entry.text).text.split()), hit.span.start, hit.span.end) for hit in hits}
    assert mine == naive([one.text for one in entries.values()], text)


@settings(max_examples=80, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.text(ALPHABET, max_size=14), st.integers(0, 14))
def test_what_a_growing_text_shows_is_never_the_beginning_of_a_hit(words: list[str], text: str, cut: int) -> None:
    made = lists(*{one.id: one for one in map(entry, words)}.values())
    listing = made.find(["own"], Target.PROMPT, text)
    begun = text[:cut]
    shown = made.held_from(["own"], begun)
    if listing is None or listing.block is None:
        assert found(made, begun, is_open=True) is None
    elif listing.block.span.end > cut:
        assert shown <= listing.block.span.start or listing.block.span.start >= cut


@pytest.mark.parametrize("disguised", ["wееd", "毒 品 交 易", "🅦🅔🅔🅓", "ᴡᴇᴇᴅ"])
@pytest.mark.parametrize("place", [32_700, 32_766, 32_768, 33_000, 65_535, 120_000])
def test_look_alikes_are_undone_in_all_of_a_long_text(disguised: str, place: int) -> None:
    made = Lists({"own": [entry_of({"text": word}, list_name="own") for word in ("weed", "毒品交易")]})
    before = ("Bread, ещё раз. " * 10_000)[: place - 1]
    text = f"{before} {disguised} and so on. " + "Мука и вода. " * 3_000
    listing = made.find(["own"], Target.PROMPT, text)
    assert listing is not None
    assert listing.block is not None
    assert text[listing.block.span.start : listing.block.span.end] == disguised


def test_a_hit_at_the_end_of_a_growing_text_waits_for_what_another_list_may_make_of_it() -> None:
    made = Lists(
        {
            "blocked": [entry_of({"text": "drug"}, list_name="blocked")],
            "allowed": [entry_of({"text": "drug store", "side": "allow"}, list_name="allowed")],
        }
    )
    names = ["blocked", "allowed"]
    assert made.find(names, Target.PROMPT, "the nearest drug ", is_open=True) is None
    closed = made.find(names, Target.PROMPT, "the nearest drug")
    assert closed is not None
    assert closed.block is not None
    store = made.find(names, Target.PROMPT, "the nearest drug store", is_open=True)
    assert store is None or store.block is None


def test_a_pattern_is_found_in_a_text_that_has_none_of_its_lists_words() -> None:
    made = lists("weed", "grass seed", entry("order-[0-9]{4}", kind="pattern"))
    assert found(made, "where is order-1234?") == "order-1234"
    assert found(made, "where is my weed, order-1234?") == "weed"
    assert found(made, "where is my order?") is None
