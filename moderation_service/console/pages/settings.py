"""Settings: what is in effect, what differs from the default, and what the last reload changed."""

from __future__ import annotations

from itertools import groupby

from werkzeug.wrappers import Response

from ...config.settings import Secret, Setting, declarations
from ..page import Page, Visit

__all__ = ["page"]

page = Page("settings", title="Settings", order=90)
_MASK = "•••"


@page.get()
def show(visit: Visit) -> Response:
    """Every setting, without a secret."""
    settings = visit.parts.settings
    rows = [
        {
            "setting": one,
            "value": _shown(one, getattr(settings, one.name)),
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
    return visit.render(
        "settings.html",
        sections=[(name, list(members)) for name, members in groupby(rows, key=lambda row: row["setting"].section)],
        has_reloaded=visit.parts.before_reload is not None,
        changes=changes,
    )


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
