"""Policies: their rules, where two differ, whether a draft can be loaded, and what it would have done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from werkzeug.wrappers import Response

from ...config.policy_file import load_policies
from ...core.policy import Policies, Policy
from ...core.policy_comparison import Comparison, compare
from ...core.policy_diff import differences, flat_rules
from ...core.verdict import Category
from ...errors import ConfigurationError, InvalidRequest, TooLarge
from ...store.history import Period
from ...store.trail import now_ms
from ..page import Page, Visit

__all__ = ["page"]

page = Page("policies", title="Policies", order=50)

_DAY_MS = 86_400_000
DAYS = (1, 7, 30)
_MOST_DRAFT_CHARS = 200_000
_EXAMPLES = 20


@page.get()
def show_all(visit: Visit) -> Response:
    """All policies, and the forms to compare them."""
    return _shown(visit)


@page.get("/one/<name>")
def show_one(visit: Visit) -> Response:
    """All rules of one policy, with what it inherits."""
    policy = _named(visit, visit.parts.policies, visit.arguments["name"])
    return visit.render("policy.html", policy=policy, rules=flat_rules(policy))


@page.get("/compare")
def show_comparison(visit: Visit) -> Response:
    """Where two policies differ, and what they would have done with the texts of the last days."""
    policies = visit.parts.policies
    a = _named(visit, policies, visit.query.get("a", policies.default))
    b = _named(visit, policies, visit.query.get("b", "strict"))
    return _compared(visit, a, b, days=_days(visit, visit.query.get("days", "7")), draft="")


@page.post("/try")
def try_draft(visit: Visit) -> Response:
    """The same for a draft: a policy file that is loaded as `serve` would, and forgotten again."""
    draft = visit.form.get("draft", "")
    try:
        drafted = load_draft(draft)
    except (ConfigurationError, TooLarge) as error:
        return _shown(visit, draft=draft, mistake=str(error), status=400)
    name = visit.form.get("name") or drafted[0].name
    b = next((one for one in drafted if one.name == name), None)
    if b is None:
        names = ", ".join(one.name for one in drafted)
        mistake = visit.text("The draft has no policy of that name; it has {names}.", names=names)
        return _shown(visit, draft=draft, mistake=mistake, status=400)
    a = _named(visit, visit.parts.policies, visit.form.get("with", ""))
    return _compared(visit, a, b, days=_days(visit, visit.form.get("period", "7")), draft=draft)


def load_draft(text: str) -> Sequence[Policy]:
    """The policies that a file with this text defines. Raises ConfigurationError, which names the line, or TooLarge."""
    if len(text) > _MOST_DRAFT_CHARS:
        raise TooLarge(f"The draft has {len(text)} characters; the limit is {_MOST_DRAFT_CHARS}.", param="draft")
    descriptor, name = tempfile.mkstemp(suffix=".yaml")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        built_in = {one.name: one for one in load_policies(None, default="balanced")}
        found = [one for one in load_policies(path, default="balanced") if built_in.get(one.name) != one]
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace(str(path), "draft.yaml")) from None
    finally:
        path.unlink()
    if not found:
        raise ConfigurationError("draft.yaml: it defines no policy that differs from those built in.")
    return found


def _shown(visit: Visit, *, draft: str = "", mistake: str = "", status: int = 200) -> Response:
    policies = visit.parts.policies
    return visit.render(
        "policies.html",
        status=status,
        policies=list(policies),
        names=[(one.name, one.name) for one in policies],
        default=policies.default,
        days=[(one, visit.text("{days} days", days=one)) for one in DAYS],
        draft=draft,
        mistake=mistake,
    )


def _compared(visit: Visit, a: Policy, b: Policy, *, days: int, draft: str) -> Response:
    found, aside = _comparison(visit, a, b, days=days)
    return visit.render(
        "policies_compared.html",
        a=a,
        b=b,
        is_draft=bool(draft),
        draft=draft,
        days=days,
        found=found,
        aside=aside,
        differences=differences(a, b),
        categories={one.value: one.display_name for one in Category},
    )


def _comparison(visit: Visit, a: Policy, b: Policy, *, days: int) -> tuple[Comparison, dict[str, int]]:
    now = now_ms()
    with visit.parts.database.read() as connection:
        period = Period(connection, since_ms=now - days * _DAY_MS, until_ms=now + 1)
        found = compare(period.cases(), a, b, most_examples=_EXAMPLES)
    return found, dict(period.aside)


def _named(visit: Visit, policies: Policies, name: str) -> Policy:
    if name not in policies:
        raise visit.missing()
    return policies.get(name)


def _days(visit: Visit, text: str) -> int:
    if text not in map(str, DAYS):
        raise InvalidRequest("`days` must be 1, 7 or 30.", param="days")
    return int(text)
