"""Settings: what is in effect, what differs from the default, and what the last reload changed."""

from __future__ import annotations

import re
from itertools import groupby

from werkzeug.wrappers import Response

from ...config.settings import Secret, Setting, declarations
from ...config.settings_docs import chinese
from ..page import Page, Visit

__all__ = ["page"]

page = Page("settings", title="Settings", order=90)
_MASK = "•••"
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@page.get()
def show(visit: Visit) -> Response:
    """Every setting, without a secret."""
    settings = visit.parts.settings
    texts = chinese() if visit.language == "zh" else None
    rows = [
        {
            "setting": one,
            "value": _shown(one, getattr(settings, one.name)),
            "unit": one.unit if texts is None or one.unit is None else texts.units[one.unit],
            "help": _plain(one.help if texts is None else texts.settings[one.name]),
            "is_set": getattr(settings, one.name) != one.default,
        }
        for one in declarations()
    ]
    changes = [
        {"name": one.name, "before": _shown(one, before), "after": _shown(one, getattr(settings, one.name))}
        for one in declarations()
        if visit.parts.before_reload is not None
        and (before := getattr(visit.parts.before_reload, one.name)) != getattr(settings, one.name)
    ]
    by_section = [(name, list(members)) for name, members in groupby(rows, key=lambda row: row["setting"].section)]
    return visit.render(
        "settings.html",
        sections=[(name if texts is None else texts.sections[name], rows) for name, rows in by_section],
        has_reloaded=visit.parts.before_reload is not None,
        changes=changes,
    )


def _plain(text: str) -> str:
    """A help text without its marks: links lead to pages of the documentation, which are not here."""
    return _LINK.sub(r"\1", text).replace("`", "")


def _shown(setting: Setting, value: object) -> str:
    """A value as text. Of a secret only that there is one: also what a connection's address holds may be a password."""
    if value is None or value == ():
        return "–"
    if isinstance(value, tuple):
        return ", ".join(_shown(setting, one) for one in value)
    if isinstance(value, Secret):
        # Words such as `auto` and `off` are no secrets, and say what one wants to know.
        return value.value if value == setting.default else _MASK
    return str(value).lower() if isinstance(value, bool) else str(value)
