"""Numbers that belong to one person: cards, accounts, national ids. Each has check digits, which python-stdnum knows.

A number with a weak check (a tenth of all numbers pass it) needs a word beside it that says what it is. Numbers that
documentation is full of, such as the test cards of payment services, belong to nobody.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stdnum import iban, luhn
from stdnum.be import nn as be_nn
from stdnum.cn import ric as cn_ric
from stdnum.de import idnr as de_idnr
from stdnum.dk import cpr as dk_cpr
from stdnum.es import dni as es_dni
from stdnum.es import nie as es_nie
from stdnum.fi import hetu as fi_hetu
from stdnum.fr import nir as fr_nir
from stdnum.ie import pps as ie_pps
from stdnum.it import codicefiscale as it_cf
from stdnum.nl import bsn as nl_bsn
from stdnum.pl import pesel as pl_pesel
from stdnum.pt import cc as pt_cc
from stdnum.ro import cnp as ro_cnp
from stdnum.se import personnummer as se_pn
from stdnum.us import ssn as us_ssn

__all__ = ["Found", "Kind", "numbers"]


class Kind(enum.Enum):
    """What was found."""

    CARD = "card"
    """A payment card's number."""
    CARD_WITH_CODE = "card_with_code"
    """A payment card's number with its expiry date or security code: all one needs to pay with it."""
    ACCOUNT = "account"
    """A bank account (IBAN)."""
    NATIONAL_ID = "national_id"
    """A national identity, social security or tax number of a person."""
    CONTACT = "contact"
    """A person's name, home address and telephone number together."""


class Found(NamedTuple):
    """Something personal, and where it stands in the text."""

    kind: Kind
    start: int
    end: int


class _Number(NamedTuple):
    """A kind of number: how it is written, how it is checked, and what must stand near it, if anything.

    Without one of the `words` in it, in lower case, a text is not searched for this kind at all.
    """

    kind: Kind
    written: re.Pattern[str]
    is_valid: Callable[[str], bool]
    beside: re.Pattern[str] | None = None
    words: tuple[str, ...] = ()


# Nothing that goes on: no longer number, no hash, no file name, no decimal places.
_NOT_BEFORE, _AFTER = "[A-Za-z0-9_./+-]", r"(?![A-Za-z0-9_/-]|[.:][A-Za-z0-9])"
_NEAR = 48
# So many candidates of a kind are checked, to bound what a text of nothing else costs.
_MOST = 500

_CARD_PREFIX = re.compile(
    r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|6(?:011|22|4[4-9]|5)|62|35(?:2[89]|[3-8])|3(?:0[0-5]|[68])"
)
_EXPIRY = re.compile(r"(?<!\d)(?:0[1-9]|1[0-2]) ?[/-] ?(?:20)?[2-4]\d(?!\d)")
_CARD_WORD = re.compile(
    r"\b(?:cards?|visa|master ?card|amex|american express|debit|credit|tarjeta|carte|karte|kreditkarte|cart[aã]o|"
    r"cvv2?|cvc2?)\b|卡|карт|" + _EXPIRY.pattern,
    re.IGNORECASE,
)
_CODE = re.compile(
    r"(?:\b(?:cvv2?|cvc2?|csc|cid|security code|code)\b|安全码|校验码|后三位)[^\d\n]{0,24}\d{3,4}(?!\d)", re.IGNORECASE
)
# Test numbers of Stripe, Adyen, PayPal, Braintree and the card networks.
_TEST_CARDS = """
    4242424242424242 4000056655665556 4111111111111111 4012888888881881 4222222222222 4000000000000002
    4000000000009995 4000000000000077 4000002500003155 4000000000000341 4000000000003220 4000000000003063
    5555555555554444 5200828282828210 5105105105105100 2223003122003222 5454545454545454 378282246310005
    371449635398431 378734493671000 6011111111111117 6011000990139424 6011981111111113 3056930009020004
    30569309025904 38520000023237 3566002020360505 3530111333300000 6200000000000005 6205500000000000004
    4917610000000000 4444333322221111 4988438843884305 5500000000000004 340000000000009
"""
# Examples of Wikipedia, of the standards and of python-stdnum.
_EXAMPLES = """
    DE89370400440532013000 GB82WEST12345698765432 GB29NWBK60161331926819 GB33BUKB20201555555555
    FR1420041010050500013M02606 FR7630006000011234567890189 ES9121000418450200051332 NL91ABNA0417164300
    CH9300762011623852957 BE68539007547034 AT611904300234573201 IT60X0542811101000000123456
    PL61109010140000071219812874 DE44500105175407324931
    11010519491231002X 34052419800101001X 110105194912310021 12345678Z X1234567L X2482300W 54362315K
    RCCMNL83S18D969H RSSMRA85T10A562S RSSMRA80A01H501U 44051401359 85073003328 295109912611193 269054958815780
    36574261809 111222333 123456782 8001010392 1112223330
"""
_NOBODYS_CARDS, _NOBODYS = frozenset(_TEST_CARDS.split()), frozenset(_EXAMPLES.split())


def _is_card(number: str) -> bool:
    digits = re.sub(r"\D", "", number)
    return (
        13 <= len(digits) <= 19
        and digits not in _NOBODYS_CARDS
        and len(set(digits)) > 3
        and _CARD_PREFIX.match(digits) is not None
        and luhn.is_valid(digits)
    )


def _not_an_example(check: Callable[[str], bool]) -> Callable[[str], bool]:
    def is_valid(number: str) -> bool:
        return re.sub(r"[\W_]", "", number).upper() not in _NOBODYS and check(number)

    return is_valid


def _written(rest: str, *, first: str = "") -> re.Pattern[str]:
    """How a number is written. With `first`, its first character, the search leaps from one of these to the next.

    That is many times as quick as looking at every place, which what must not stand before it asks for.
    """
    return re.compile(f"{first}(?<!{_NOT_BEFORE}{first})(?:{rest}){_AFTER}")


def _id(written: str, check: Callable[[str], bool], beside: str | None = None, *words: str, first: str = "") -> _Number:
    near = None if beside is None else re.compile(beside, re.IGNORECASE)
    return _Number(Kind.NATIONAL_ID, _written(written, first=first), _not_an_example(check), near, words)


def _is_ssn(number: str) -> bool:
    return us_ssn.is_valid(re.sub(r"\D", "", number))


def _any(number: str) -> bool:
    return True


# The second form begins with a 3.
_CARD_GROUPED = r"\d{3}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|(?<=3)\d{3}([ -])\d{6}\2\d{4,5}"
_NUMBERS = (
    _Number(Kind.CARD, _written(_CARD_GROUPED, first=r"\d"), _is_card),
    _Number(Kind.CARD, _written(r"\d{12,18}", first="[2-6]"), _is_card, _CARD_WORD),
    _Number(
        Kind.ACCOUNT,
        _written(r"[A-Z]\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?", first="[A-Z]"),
        _not_an_example(iban.is_valid),
    ),
    _id(r"\d{5}(?:18|19|20)\d{9}[\dXx]", cn_ric.is_valid, first="[1-9]"),
    _id(r"[A-Z]{5}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]", it_cf.is_valid, first="[A-Z]"),
    _id(r"\d{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}", _any, "身份证", "身份证", first="[1-9]"),
    _id(r"\d{3}[ -]?\d{2}[ -]?\d{4}", _is_ssn, r"\bssn\b|social security", "ssn", "social security"),
    _id(
        r"\d{7}[ -]?[A-Za-z]",
        es_dni.is_valid,
        r"\bd\.?n\.?i\b|\bnif\b|identidad",
        *("dni", "d.n.i", "nif", "identidad"),
        first=r"\d",
    ),
    _id(
        r"[ -]?\d{7}[ -]?[A-Za-z]",
        es_nie.is_valid,
        r"\bn\.?i\.?[ef]\b|extranjer",
        *("nie", "nif", "extranjer"),
        first="[XYZxyz]",
    ),
    _id(r"\d{11}", pl_pesel.is_valid, r"\bpesel\b", "pesel"),
    _id(
        r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}",
        fr_nir.is_valid,
        r"\bnir\b|s[ée]cu\b|s[ée]curit[ée] sociale|\binsee\b",
        *("nir", "sécu", "secu", "insee"),
    ),
    _id(
        r"\d{2} ?\d{3} ?\d{3} ?\d{3}",
        de_idnr.is_valid,
        r"steuer|identifikationsnummer|\bidnr\b|tax id",
        *("steuer", "identifikationsnummer", "idnr", "tax id"),
    ),
    _id(r"\d{9}", nl_bsn.is_valid, r"\bbsn\b|burgerservice", "bsn", "burgerservice"),
    _id(
        r"\d{2}[.]?\d{2}[.]?\d{2}-?\d{3}[.]?\d{2}",
        be_nn.is_valid,
        r"rijksregister|registre national|\binsz\b",
        *("rijksregister", "registre national", "insz"),
    ),
    _id(r"\d{6}[-+A]\d{3}[0-9A-Y]", fi_hetu.is_valid, r"henkilötunnus|\bhetu\b|sotu", "henkilötunnus", "hetu", "sotu"),
    _id(r"(?:\d{2})?\d{6}[-+]?\d{4}", se_pn.is_valid, r"personnummer|personal identity", "personnummer", "personal id"),
    _id(r"\d{6}-?\d{4}", dk_cpr.is_valid, r"\bcpr\b", "cpr"),
    _id(r"[1-8]\d{12}", ro_cnp.is_valid, r"\bcnp\b", "cnp"),
    _id(r"\d{8} ?\d ?[A-Z0-9]{2}\d", pt_cc.is_valid, r"cart[aã]o de cidad", "de cidad"),
    _id(r"\d{7}[A-Wa-w][A-IWa-iw]?", ie_pps.is_valid, r"\bppsn?\b", "pps"),
    _id(r"[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", _any, r"national insurance", "national insurance"),
)


def numbers(text: str) -> Iterator[Found]:
    """Personal numbers in a text, each once."""
    taken: set[int] = set()
    lowered = text.lower()
    for number in _NUMBERS:
        if number.words and not any(word in lowered for word in number.words):
            continue
        for count, match in enumerate(number.written.finditer(text)):
            if count == _MOST:
                break
            start, end = match.span()
            if start in taken or not number.is_valid(match.group()):
                continue
            around = text[max(0, start - _NEAR) : start] + " " + text[end : end + _NEAR]
            if number.beside is not None and number.beside.search(around) is None:
                continue
            taken.add(start)
            kind = number.kind
            if kind is Kind.CARD and (_EXPIRY.search(around) or _CODE.search(around)):
                kind = Kind.CARD_WITH_CODE
            yield Found(kind, start, end)
