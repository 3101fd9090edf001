"""Personal data by rule: what a model of words can't know, because numbers are all alike to it.

Qwen3Guard's category PII is the unauthorised disclosure of what identifies a person: identity numbers, financial
details, a home address with name and telephone. A number with which one can pass for a person (a national id, a card
with its code) is unsafe wherever it stands, and so are two kinds together. A card or an account alone, or an address
with name and telephone, is controversial: letters and forms are full of the writer's own. A telephone number, a mail
address, a name, and all that belongs to a firm, is nothing to object to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ...core.verdict import Severity
from .personal_numbers import Found, Kind, numbers

__all__ = ["PersonalData", "moved", "personal_data", "worse"]

PersonalData = tuple[Severity, Found]
"""How bad it is, and the worst of what was found."""

_UNSAFE = frozenset({Kind.CARD_WITH_CODE, Kind.NATIONAL_ID})
# Every kind has two digits in a row somewhere.
_DIGITS = re.compile(r"\d\d")
_REACH = 160
_MOST_ADDRESSES = 200

_PHONE = re.compile(
    r"(?<![A-Za-z0-9_./=-])(?:\+?\d{1,3}[ .-]?)?(?:\(0?\d{2,5}\)[ .-]?)?\d{2,5}(?:[ .-]\d{2,6}){1,4}(?![A-Za-z0-9_-])"
    r"|(?<!\d)(?:\+?86[ -]?)?1[3-9]\d{9}(?!\d)|(?<!\d)0\d{2,3}-?\d{7,8}(?!\d)"
)
# Begins with a set of characters and looks back afterwards: the search leaps from one of them to the next.
_ADDRESS = re.compile(
    r"[\dA-ZÄÖÜ路街巷弄大村小花新苑](?:"
    r"(?<=\d)(?<!\w\d)\d{0,4}[A-Za-z]?,? (?:[A-Z][\w'.-]+ ){1,4}(?:Street|St|Road|Rd|Lane|Ln|Avenue|Ave|Drive|Dr|Court|"
    r"Ct|Close|Way|Place|Pl|Square|Terrace|Boulevard|Blvd|Crescent|Gardens|Row)\b"
    r"|(?<=[A-ZÄÖÜ])(?<!\w[A-ZÄÖÜ])[\wäöüß-]*(?:straße|strasse|str\.|weg|gasse|allee|platz) \d{1,4}[a-z]?\b"
    r"|(?<=\d)(?<!\w\d)\d{0,3}(?: bis)?,? (?:rue|avenue|boulevard|impasse|place) (?:de |du |des |la |l')*[A-ZÀ-Ý]"
    r"|(?:(?<=[路街巷弄村苑])|(?<=大)道|(?<=小)区|(?<=花)园|(?<=新)村)[^\n，。,;；]{0,12}?\d{1,5}(?:号|弄|栋|幢|座|单元|室|楼))"
)
_ADDRESS_WORDS = (
    *(
        "Street",
        "St",
        "Road",
        "Rd",
        "Lane",
        "Ln",
        "Avenue",
        "Ave",
        "Drive",
        "Dr",
        "Court",
        "Ct",
        "Close",
        "Way",
        "Place",
    ),
    *("Pl", "Square", "Terrace", "Boulevard", "Blvd", "Crescent", "Gardens", "Row", "rue ", "avenue ", "boulevard "),
    *("straße", "strasse", "str.", "weg ", "gasse ", "allee ", "platz ", "impasse ", "place "),
    *("号", "弄", "栋", "幢", "座", "单元", "室", "楼"),
)
_NAME = re.compile(
    r"\b(?:name|nombre|nom)\s*[:=]\s*[A-ZÀ-Ý][\w'-]+(?: [A-ZÀ-Ý][\w'-]+)+"
    r"|(?<![\w.])[A-Z][a-zà-ÿ'-]{1,20} (?:[A-Z]\.? )?[A-Z][a-zà-ÿ'-]{1,20}(?=[,:;\n]|$| (?:lives|is|at)\b)"
    r"|(?:姓名|收件人|联系人|收货人|户主)\s*[:：]?\s*[\u4e00-\u9fff]{2,4}(?![\u4e00-\u9fff])"
    r"|(?:他|她|本人|名字)叫[\u4e00-\u9fff]{2,4}(?![\u4e00-\u9fff])",
    re.MULTILINE,
)
_STREET_WORD = re.compile(
    r"\b(?:Street|St|Road|Rd|Lane|Ln|Avenue|Ave|Drive|Court|Close|Way|Place|Square|Terrace|Boulevard|Crescent|Gardens|Row)$"
)
_FIRM = re.compile(
    r"\b(?:ltd|limited|inc|llc|gmbh|ag|corp|company|plc|s\.?a|sarl|b\.?v|museum|hotel|restaurant|clinic|hospital|shop|"
    r"store|office|school|university|library|church|plumbing|bakery|café|cafe|bar|theatre|department|ministry|council|"
    r"association|foundation|practice|surgery|reception|opening hours|open)\b|公司|有限|酒店|医院|学校|大学|博物馆|"
    r"餐厅|饭店|银行|事务所|中心|门店|商店|超市|营业|管理局|委员会|客服",
    re.IGNORECASE,
)


def moved(personal: PersonalData | None, origin: Callable[[int, int], tuple[int, int]]) -> PersonalData | None:
    """The same, with its place in the text that this one was made from."""
    if personal is None:
        return None
    severity, found = personal
    return severity, Found(found.kind, *origin(found.start, found.end))


def worse(one: PersonalData | None, other: PersonalData | None) -> PersonalData | None:
    """The worse of what was found in two readings of a text, the first of equals."""
    return max(one, other, key=lambda found: found[0].rank) if one and other else one or other


def personal_data(cleaned: str) -> PersonalData | None:
    """The worst personal data in a cleaned text, or None."""
    if _DIGITS.search(cleaned) is None:
        return None
    found = [*numbers(cleaned), *_contacts(cleaned)]
    if not found:
        return None
    worst = next((one for one in found if one.kind in _UNSAFE), found[0])
    kinds = {Kind.CARD if one.kind is Kind.CARD_WITH_CODE else one.kind for one in found}
    is_unsafe = worst.kind in _UNSAFE or len(kinds) > 1
    return (Severity.UNSAFE if is_unsafe else Severity.CONTROVERSIAL), worst


def _contacts(text: str) -> Iterator[Found]:
    """A home address with a telephone number and a person's name near it, and no firm."""
    if not any(word in text for word in _ADDRESS_WORDS):
        return
    for count, address in enumerate(_ADDRESS.finditer(text)):
        if count == _MOST_ADDRESSES:
            return
        start, end = max(0, address.start() - _REACH), min(len(text), address.end() + _REACH)
        around = text[start:end]
        phone = next((one for one in _PHONE.finditer(around) if _is_phone(one.group())), None)
        if phone is None or _FIRM.search(around) or not _has_name(around):
            continue
        yield Found(Kind.CONTACT, min(address.start(), start + phone.start()), max(address.end(), start + phone.end()))
        return


def _is_phone(written: str) -> bool:
    return 7 <= sum(map(str.isdigit, written)) <= 15


def _has_name(around: str) -> bool:
    return any(_STREET_WORD.search(name.group()) is None for name in _NAME.finditer(around))
