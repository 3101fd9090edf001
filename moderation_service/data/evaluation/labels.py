"""What people say of a text: the columns of a labelled file. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.conversation import Conversation
from ...core.verdict import Category, Severity, Target
from ...errors import InvalidRequest

__all__ = ["Gold", "gold"]

_SEVERITIES = {severity.value: severity for severity in Severity}
_CATEGORIES = {name.casefold(): category for category in Category for name in (category.value, category.display_name)}
_REFUSALS = {"yes": True, "no": False, "true": True, "false": False}
_LANGUAGES = ("lang", "language")
_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Gold:
    """The labels of one text, and what it is filed under; not the text.

    `severity` is None where only a refusal is labelled, `categories` empty and `refusal` None where the file does not
    say. `characters` is the length of the judged turn.
    """

    id: str
    target: Target
    severity: Severity | None
    categories: tuple[Category, ...] = ()
    refusal: bool | None = None
    language: str | None = None
    source: str | None = None
    characters: int = 0


def gold(columns: Mapping[str, object], conversation: Conversation, *, number: int) -> Gold:
    """The labels in a row's columns; `number` is its place, which it is called by if it has no `id`.

    `label` is safe, controversial or unsafe; `categories` is a list of ids or display names; `refusal` is true, false,
    "Yes", "No" or null. A row has a `label`, or a `refusal`, or both. Raises InvalidRequest naming the column.
    """
    refusal = _refusal(columns.get("refusal"))
    severity = None if columns.get("label") is None and refusal is not None else _severity(columns.get("label"))
    identifier = columns.get("id")
    return Gold(
        id=_name(number if identifier is None else identifier) or str(number),
        target=conversation.target,
        severity=severity,
        categories=_categories(columns.get("categories")),
        refusal=refusal,
        language=next((name for key in _LANGUAGES if (name := _name(columns.get(key)))), None),
        source=_name(columns.get("source")),
        characters=len(conversation.messages[-1].content),
    )


def _name(value: object) -> str | None:
    """A label to file under: one short line that can be printed, whatever the file has there."""
    if value is None or isinstance(value, (list, dict)):
        return None
    # A console would obey control characters, and people would not see them.
    return "".join(char for char in " ".join(str(value).split()) if char.isprintable())[:_NAME_CHARS] or None


def _severity(value: object) -> Severity:
    severity = _SEVERITIES.get(value.strip().casefold()) if isinstance(value, str) else None
    if severity is None:
        raise InvalidRequest(f"`label` must be one of {', '.join(_SEVERITIES)}.", param="label")
    return severity


def _categories(value: object) -> tuple[Category, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        # A cell of a CSV file.
        value = value.split(";")
    if not isinstance(value, list):
        raise InvalidRequest("`categories` must be a list of ids or display names.", param="categories")
    found = []
    for index, name in enumerate(value):
        category = _CATEGORIES.get(name.strip().casefold()) if isinstance(name, str) else None
        if category is None:
            known = ", ".join(category.value for category in Category)
            raise InvalidRequest(
                f"`categories[{index}]` is not a known category: {known}.", param=f"categories[{index}]"
            )
        found.append(category)
    return tuple(found)


def _refusal(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value == "":
        return None
    refusal = _REFUSALS.get(value.strip().casefold()) if isinstance(value, str) else None
    if refusal is None:
        raise InvalidRequest('`refusal` must be true, false, "Yes", "No" or null.', param="refusal")
    return refusal
