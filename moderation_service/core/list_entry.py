"""Entries of lists: words, phrases, patterns and domains that block a text or let it pass. No I/O.

`entry_of` makes one from named fields, as files, forms and the store have them, and complains of a field by its name;
`fields_of` is the way back. How texts are compared with entries: `engines/lists`.
"""

from __future__ import annotations

import enum
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TypeVar

from ..errors import InvalidRequest
from .verdict import Action, Category, Target

__all__ = ["FIELDS", "MAX_TEXT_CHARS", "Entry", "Kind", "Side", "entry_of", "fields_of", "is_list_name"]

FIELDS = (
    "id", "side", "kind", "text", "exceptions", "targets", "action", "category", "reason", "author", "expires",
)  # fmt: skip
"""The fields of an entry, in the order in which files have them."""
MAX_TEXT_CHARS = 500
"""The longest word, phrase, pattern or exception. A growing answer is held back by so much at most."""
_MAX_EXCEPTIONS = 50
_MAX_REASON_CHARS, _MAX_AUTHOR_CHARS = 500, 100
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_DOMAIN = re.compile(r"(?=.{4,253}$)(?:[^\s./:@\\?#\[\]]{1,63}\.)+[^\s./:@\\?#\[\]]{2,63}")
_SEPARATORS = re.compile(r"[|\n]")

_T = TypeVar("_T", bound=enum.Enum)


class Kind(enum.Enum):
    """How an entry's text is compared."""

    WORD = "word"
    """A word, whole where its script has spaces between words."""
    PHRASE = "phrase"
    """Several words, with any white space between them, whole at both ends."""
    PATTERN = "pattern"
    """A regular expression of RE2's."""
    DOMAIN = "domain"
    """A domain and everything below it."""


class Side(enum.Enum):
    """What a hit means."""

    BLOCK = "block"
    """The text is blocked, or flagged."""
    ALLOW = "allow"
    """What the engine objects to here may pass."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list.

    `action` is a block entry's: block or flag. `expires_at` is in seconds since 1970; None for never. A hit that lies
    in a hit of one of the `exceptions` counts for nothing. `origin` says where it stands, for complaints.
    """

    id: str
    list_name: str
    text: str
    kind: Kind = Kind.WORD
    side: Side = Side.BLOCK
    action: Action = Action.BLOCK
    targets: frozenset[Target] = frozenset(Target)
    category: Category | None = None
    reason: str = ""
    author: str = ""
    expires_at: float | None = None
    exceptions: tuple[str, ...] = ()
    origin: str = field(default="", compare=False)


def is_list_name(text: str) -> bool:
    """Whether a list may be called so: its name stands in policies, metrics and addresses."""
    return _NAME.fullmatch(text) is not None


def entry_of(fields: Mapping[str, object], *, list_name: str, origin: str = "") -> Entry:
    """The entry with these fields; those left out or empty have their defaults.

    Without an `id` it gets one that depends on its list, side, kind, targets and text. Raises InvalidRequest that
    names the field.
    """
    for name in fields:
        if name not in FIELDS:
            shown = "".join(char for char in str(name)[:40] if char.isprintable())
            raise InvalidRequest(f"`{shown}` is no field of an entry; it has {', '.join(FIELDS)}.", param="entry")
    text = _text(fields, "text", most=MAX_TEXT_CHARS)
    if not text:
        raise InvalidRequest("`text` is missing.", param="text")
    kind = _choice(fields, "kind", Kind, _usual_kind(text))
    if kind is Kind.DOMAIN:
        text = _domain(text)
    if kind is Kind.WORD and any(char.isspace() for char in text):
        raise InvalidRequest("`text` has blanks, so it is no `word` but a `phrase`.", param="text")
    side = _choice(fields, "side", Side, Side.BLOCK)
    action = _choice(fields, "action", Action, Action.BLOCK if side is Side.BLOCK else Action.ALLOW)
    if (action is Action.ALLOW) is not (side is Side.ALLOW):
        raise InvalidRequest("`action` is `block` or `flag` for a block entry; leave it out elsewhere.", param="action")
    targets = frozenset(_targets(fields))
    given = _text(fields, "id", most=64)
    if given and not _ID.fullmatch(given):
        raise InvalidRequest("`id` has 1 to 64 of A-Z, a-z, 0-9 and . _ : -, a letter or digit first.", param="id")
    return Entry(
        id=given or _made_id(list_name, side, kind, targets, text),
        list_name=list_name,
        text=text,
        kind=kind,
        side=side,
        action=action,
        targets=targets,
        category=_category(fields),
        reason=_text(fields, "reason", most=_MAX_REASON_CHARS),
        author=_text(fields, "author", most=_MAX_AUTHOR_CHARS),
        expires_at=_expiry(fields),
        exceptions=tuple(_exceptions(fields)),
        origin=origin,
    )


def fields_of(entry: Entry) -> dict[str, str]:
    """All fields of an entry as text, in the order of `FIELDS`; those it has not are empty."""
    expires = entry.expires_at
    found = {
        "id": entry.id,
        "side": entry.side.value,
        "kind": entry.kind.value,
        "text": entry.text,
        "exceptions": "|".join(entry.exceptions),
        "targets": "" if len(entry.targets) == len(Target) else "|".join(one.value for one in entry.targets),
        "action": "" if entry.side is Side.ALLOW else entry.action.value,
        "category": "" if entry.category is None else entry.category.value,
        "reason": entry.reason,
        "author": entry.author,
        "expires": "" if expires is None else datetime.fromtimestamp(expires, UTC).isoformat().replace("+00:00", "Z"),
    }
    return {name: found[name] for name in FIELDS}


def _usual_kind(text: str) -> Kind:
    return Kind.PHRASE if any(char.isspace() for char in text) else Kind.WORD


def _text(fields: Mapping[str, object], name: str, *, most: int) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be a text.", param=name)
    return _clean(value, name, most=most)


def _clean(value: str, name: str, *, most: int) -> str:
    text = value.strip()
    if len(text) > most:
        raise InvalidRequest(f"`{name}` has {len(text)} characters; the limit is {most}.", param=name)
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise InvalidRequest(f"`{name}` has a control character, or half a surrogate pair.", param=name)
    return text


def _domain(text: str) -> str:
    domain = text.lower().removeprefix("*.").rstrip(".")
    if not _DOMAIN.fullmatch(domain):
        raise InvalidRequest("`text` is no domain such as example.com: no scheme, port or path.", param="text")
    return domain


def _choice(fields: Mapping[str, object], name: str, kind: type[_T], default: _T) -> _T:
    text = _text(fields, name, most=40)
    if not text:
        return default
    try:
        return kind(text.lower())
    except ValueError:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(one.value for one in kind)}.", param=name) from None


def _parts(fields: Mapping[str, object], name: str) -> Sequence[str]:
    """A list of texts, or one text with `|` between its parts."""
    value = fields.get(name)
    if value is None:
        return ()
    parts = _SEPARATORS.split(value) if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise InvalidRequest(f"`{name}` must be a list of texts.", param=name)
    return [part.strip() for part in parts if part.strip()]


def _targets(fields: Mapping[str, object]) -> Sequence[Target]:
    names = {one.value: one for one in Target}
    found = _parts(fields, "targets")
    if any(part.lower() not in names for part in found):
        raise InvalidRequest(f"`targets` are {' and '.join(names)}; both if left out.", param="targets")
    return [names[part.lower()] for part in found] or list(Target)


def _exceptions(fields: Mapping[str, object]) -> Sequence[str]:
    found = _parts(fields, "exceptions")
    if len(found) > _MAX_EXCEPTIONS:
        raise InvalidRequest(f"`exceptions` may be {_MAX_EXCEPTIONS} at most.", param="exceptions")
    if any("|" in part for part in found):
        raise InvalidRequest("`exceptions` may have no `|` in them.", param="exceptions")
    return list(dict.fromkeys(_clean(part, "exceptions", most=MAX_TEXT_CHARS) for part in found))


def _category(fields: Mapping[str, object]) -> Category | None:
    text = _text(fields, "category", most=60)
    if not text:
        return None
    try:
        return Category(text.lower())
    except ValueError:
        known = ", ".join(one.value for one in Category)
        raise InvalidRequest(f"`category` must be one of {known}.", param="category") from None


def _expiry(fields: Mapping[str, object]) -> float | None:
    """A day (all of it, UTC) or a moment; without an offset it is UTC."""
    value = fields.get("expires")
    if isinstance(value, (datetime, date)):
        value = value.isoformat()
    text = _text({"expires": value}, "expires", most=40)
    if not text:
        return None
    try:
        if len(text) <= len("2030-12-31"):
            return datetime.combine(date.fromisoformat(text), time(23, 59, 59), UTC).timestamp()
        moment = datetime.fromisoformat(text)
    except ValueError:
        reason = "`expires` must be a day such as 2030-12-31, or a moment such as 2030-12-31T12:00Z."
        raise InvalidRequest(reason, param="expires") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _made_id(list_name: str, side: Side, kind: Kind, targets: frozenset[Target], text: str) -> str:
    parts = (list_name, side.value, kind.value, *sorted(one.value for one in targets), text)
    return "e-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
