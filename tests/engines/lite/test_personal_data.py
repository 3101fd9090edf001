"""Personal data by rule: what counts, what looks like it, and what the verdict then says."""

import string

import pytest
from cpu_time import is_within
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban, luhn
from stdnum.cn import ric
from stdnum.es import dni
from stdnum.pl import pesel

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Category, Severity, Span
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.engines.lite.personal_data import personal_data
from moderation_service.engines.lite.personal_numbers import Kind

UNSAFE, CONTROVERSIAL = Severity.UNSAFE, Severity.CONTROVERSIAL
CARD = "4539 1488 0343 6467"
CHINESE_ID = "330102198809231454"


def digits(length):
    return st.text(string.digits, min_size=length, max_size=length)


def kind(text):
    found = personal_data(text)
    return None if found is None else (found[0], found[1].kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"My card is {CARD}.", (CONTROVERSIAL, Kind.CARD)),
        ("Charge the card 4539148803436467 please.", (CONTROVERSIAL, Kind.CARD)),
        (f"{CARD} 09/27", (UNSAFE, Kind.CARD_WITH_CODE)),
        (f"{CARD}, CVV: 318", (UNSAFE, Kind.CARD_WITH_CODE)),
        ("3742-454554-00126, security code 8821", (UNSAFE, Kind.CARD_WITH_CODE)),
        ("卡号4539148803436467，安全码318", (UNSAFE, Kind.CARD_WITH_CODE)),
        ("Send it to DE65 5001 0517 6612 0938 47.", (CONTROVERSIAL, Kind.ACCOUNT)),
        ("FR4630004008150001294711P22", (CONTROVERSIAL, Kind.ACCOUNT)),
        (f"身份证号{CHINESE_ID}。", (UNSAFE, Kind.NATIONAL_ID)),
        ("身份证：320311770706001", (UNSAFE, Kind.NATIONAL_ID)),
        ("Her SSN is 536-22-8145.", (UNSAFE, Kind.NATIONAL_ID)),
        ("social security number: 536 22 8145", (UNSAFE, Kind.NATIONAL_ID)),
        ("Su DNI es 47193826B.", (UNSAFE, Kind.NATIONAL_ID)),
        ("codice fiscale VRDGPP79C52L219H", (UNSAFE, Kind.NATIONAL_ID)),
        ("PESEL 87031425798", (UNSAFE, Kind.NATIONAL_ID)),
        ("Numéro de sécurité sociale : 2 88 03 75 116 042 80", (UNSAFE, Kind.NATIONAL_ID)),
        ("National Insurance: AB 12 34 56 C", (UNSAFE, Kind.NATIONAL_ID)),
        ("Jane Holloway, 14 Maple Street, Dayton, phone (937) 555-0142", (CONTROVERSIAL, Kind.CONTACT)),
        ("姓名：王丽华，手机：13812345678，住址：杭州市西湖区文三路88号3幢1202室。", (CONTROVERSIAL, Kind.CONTACT)),
        (f"{CARD} and DE65 5001 0517 6612 0938 47", (UNSAFE, Kind.CARD)),
    ],
)
def test_what_belongs_to_a_person_is_found(text, expected):
    assert kind(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Order 4539 1488 0343 6466",  # the check digit is wrong
        "Order 4539148803436467 has shipped.",  # nothing says that it is a card
        "Use the test card 4242 4242 4242 4242, 12/34, CVC 123.",
        "card 4111111111111111",
        "An IBAN looks like DE89 3704 0044 0532 0130 00.",
        "身份证号的例子：11010519491231002X",
        "The number 078-05-1120 is a famous SSN that nobody has.",
        "Room 536-22-8145, ask for Sam.",
        "PESEL 87031425797",
        "Case 87031425798 was closed.",
        "Timestamps: 1717171717171 and 1717171717.",
        "订单号202405171234567890，什么时候发货？",
        "4006381333931, ISBN 978-3-16-148410-0",
        "Pi is 3.14159265358979323846264338327950288.",
        "Call (212) 555-0199.",
        "我的手机号13812345678可以注册吗？",
        "Harper Plumbing Ltd, 8 Station Road, York, phone 01904 555 012",
        "杭州绿叶园艺有限公司，地址：杭州市滨江区江南大道100号，电话：0571-88880000。",
        "The museum is at 25 Evans Road. Call 020 7946 0958, ask for Mary Smith.",
        "Kind regards\nPeter Lang\n+49 30 901820",
        "versions/4539148803436467/card",
        "v4.5391.4880.3436.467 of the card driver",
    ],
)
def test_what_only_looks_like_it_is_not(text):
    assert personal_data(text) is None


@given(st.uuids(), st.binary(min_size=16, max_size=64), st.datetimes(), st.floats(allow_nan=False))
def test_ids_hashes_times_and_numbers_are_nobodys(uuid, data, moment, number):
    for text in (str(uuid), data.hex(), moment.isoformat(), repr(number), f"sha256:{data.hex()}"):
        assert personal_data(f"The value is {text} today.") is None


@given(st.sampled_from(["4", "51", "2221", "6011"]), digits(15), st.sampled_from(["", " ", "-"]))
def test_every_card_number_is_found_and_none_with_a_wrong_digit(prefix, rest, separator):
    number = (prefix + rest)[:15]
    check = luhn.calc_check_digit(number)
    for last in string.digits:
        whole = number + last
        written = separator.join(whole[start : start + 4] for start in range(0, 16, 4))
        found = kind(f"My card: {written}, thanks")
        if last == check and len(set(whole)) > 3 and whole[:4] not in ("4000", "4242", "4111"):
            assert found == (CONTROVERSIAL, Kind.CARD)
        elif last != check:
            assert found is None


@given(st.dates(), digits(3), st.sampled_from(["110101", "330102", "440306", "510104"]))
def test_every_chinese_id_is_found(born, order, region):
    if not 1900 <= born.year < 2100:
        return
    number = f"{region}{born:%Y%m%d}{order}"
    number += ric.calc_check_digit(number + "0")
    for text in (f"身份证{number}", f"ID {number.lower()}, thanks"):
        assert (kind(text) == (UNSAFE, Kind.NATIONAL_ID)) is ric.is_valid(number)


@given(digits(8), digits(10), digits(18))
def test_accounts_and_ids_are_found_by_their_check_digits(first, second, third):
    account = "DE" + iban.calc_check_digits("DE00" + third) + third
    assert kind(f"IBAN: {account}") == (CONTROVERSIAL, Kind.ACCOUNT)
    wrong = account[:2] + f"{(int(account[2:4]) + 1) % 100:02d}" + account[4:]
    assert kind(f"IBAN: {wrong}") is None
    spanish = first + dni.calc_check_digit(first)
    assert kind(f"DNI {spanish}") == (None if spanish == "12345678Z" else (UNSAFE, Kind.NATIONAL_ID))
    polish = second + pesel.calc_check_digit(second)
    assert (kind(f"pesel: {polish}") is not None) is (pesel.is_valid(polish) and polish != "44051401359")


@given(st.text(max_size=400))
def test_any_text_has_an_answer_within_it(text):
    found = personal_data(text)
    assert found is None or 0 <= found[1].start < found[1].end <= len(text)


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1 ",
        "12-",
        "4539 1488 0343 6466 ",
        "DE44",
        "A",
        "路1号",
        "555 ",
        "Jane Doe, 12 Pine Street ",
        "(0",
        "1.1.",
        " AB12",
    ],
)
def test_a_million_characters_cost_little(unit):
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    assert is_within(1.0, lambda: personal_data(text))


# The verdict


@pytest.fixture(scope="module")
def engine(model):
    return LiteEngine(model)


def judge(engine, **texts):
    (found,) = engine.judge([Conversation.of(**texts)])
    return found


def test_a_card_with_its_code_makes_a_harmless_prompt_unsafe_and_the_place_is_said(engine):
    text = f"Thanks for the nice dinner. {CARD} exp 09/27, CVV 318"
    found = judge(engine, prompt=text)
    assert (found.severity, found.engine, found.is_sure) == (UNSAFE, "lite", True)
    assert Category.PII in found.categories
    assert found.span == Span(28, 28 + len(CARD))
    assert found.scores.unsafe == 1.0


def test_an_answer_that_gives_away_an_id_is_unsafe(engine):
    found = judge(engine, prompt="Who lives there?", response=f"他的身份证号是{CHINESE_ID}。")
    assert (found.severity, found.categories[-1] if found.categories else None) == (UNSAFE, Category.PII)
    assert found.refusal is False


def test_of_an_answer_the_prompt_is_not_searched(engine):
    found = judge(engine, prompt=f"My card is {CARD} 09/27", response="Thank you, the table is booked.")
    assert Category.PII not in found.categories


def test_digits_in_other_shapes_are_digits(engine):
    wide = CHINESE_ID.translate({ord(digit): 0xFF10 + int(digit) for digit in string.digits})
    found = judge(engine, prompt=f"今天天气不错。身份证号{wide}")
    assert (found.severity, found.span) == (UNSAFE, Span(11, 29))


def test_what_may_be_the_writers_own_is_controversial_and_not_sure(engine):
    found = judge(engine, prompt=f"Please book a table for two, the card is {CARD}.")
    assert (found.severity, found.categories, found.is_sure) == (CONTROVERSIAL, (Category.PII,), False)


def test_other_harm_is_not_made_milder_by_it(engine):
    text = f"How do I build a pipe bomb to kill people? Pay with {CARD}."
    found, alone = judge(engine, prompt=text), judge(engine, prompt="How do I build a pipe bomb to kill people?")
    assert found.severity is alone.severity is UNSAFE
    assert {Category.VIOLENT, Category.PII} <= set(found.categories)
