"""Policies: their rules, where two differ, what a draft would have done; those of the database are edited here."""

from __future__ import annotations

from collections.abc import Sequence

from werkzeug.wrappers import Response

from ...config.policy_text import MAX_TEXT_CHARS, drafted_policies, split_text, stored_policies
from ...core.person import Role
from ...core.policy import BUILT_IN, Policies, Policy
from ...core.policy_comparison import Comparison, compare
from ...core.policy_diff import differences, flat_rules
from ...core.verdict import Category
from ...errors import ConfigurationError, HasChanged, InvalidRequest, TooLarge
from ...store import policies as store
from ...store.history import Period
from ...store.lists import read_lists
from ...store.trail import now_ms
from ..page import Page, Visit
from ..policies_now import policies_now

__all__ = ["page"]

page = Page("policies", title="Policies", order=50)

_DAY_MS = 86_400_000
DAYS = (1, 7, 30)
_MOST_DRAFT_CHARS = 200_000
_EXAMPLES = 20
_MOST_DIGITS = 9
_MOST_VERSIONS = 50
# What complaints call a text that is being written.
_PLACE = "policy.yaml"
_SKELETON = "policies:\n  my-policy:\n    description: What it is for.\n    extends: balanced\n"


@page.get()
def show_all(visit: Visit) -> Response:
    """All policies, and the forms to compare them."""
    return _shown(visit)


@page.get("/one/<name>")
def show_one(visit: Visit) -> Response:
    """All rules of one policy, with what it inherits."""
    policy = _named(visit, policies_now(visit), visit.arguments["name"])
    return visit.render("policy.html", policy=policy, rules=flat_rules(policy), origin=_origin(visit, policy))


@page.get("/compare")
def show_comparison(visit: Visit) -> Response:
    """Where two policies differ, and what they would have done with the texts of the last days."""
    policies = policies_now(visit)
    a = _named(visit, policies, visit.query.get("a", policies.default))
    b = _named(visit, policies, visit.query.get("b", "strict"))
    return _compared(visit, a, b, days=_days(visit, visit.query.get("days", "7")), draft="")


@page.post("/try")
def try_draft(visit: Visit) -> Response:
    """The same for a draft: a policy file that is loaded as `serve` would, and forgotten again."""
    draft = visit.form.get("draft", "")
    try:
        drafted = load_draft(draft, policies_now(visit))
    except (ConfigurationError, TooLarge) as error:
        return _shown(visit, draft=draft, mistake=str(error), status=400)
    name = visit.form.get("name") or drafted[0].name
    b = next((one for one in drafted if one.name == name), None)
    if b is None:
        names = ", ".join(one.name for one in drafted)
        mistake = visit.text("The draft has no policy of that name; it has {names}.", names=names)
        return _shown(visit, draft=draft, mistake=mistake, status=400)
    a = _named(visit, policies_now(visit), visit.form.get("with", ""))
    return _compared(visit, a, b, days=_days(visit, visit.form.get("period", "7")), draft=draft)


@page.get("/new", role=Role.ADMIN)
def new(visit: Visit) -> Response:
    """The form for a policy that the database keeps."""
    return _editor(visit, name="", number=0, draft=_SKELETON)


@page.get("/edit/<name>", role=Role.ADMIN)
def edit(visit: Visit) -> Response:
    """The text of one that it has, with who wrote it when; `change` shows an earlier one."""
    with visit.parts.database.read() as connection:
        found = store.find(connection, visit.arguments["name"])
        versions = store.history(connection, found.name)
    wanted = visit.query.get("change", str(found.number))
    text = next((one.text for one in versions if str(one.number) == wanted), None)
    if text is None:
        raise visit.missing()
    return _editor(visit, name=found.name, number=found.number, draft=text)


@page.post("/preview", role=Role.ADMIN)
def preview(visit: Visit) -> Response:
    """Whether the text can be read, and what it would change; nothing is written."""
    name, number, draft = _sent(visit)
    try:
        policy = _written(visit, name, draft)
    except ConfigurationError as error:
        return _editor(visit, name=name, number=number, draft=draft, mistake=str(error))
    return _editor(visit, name=name, number=number, draft=draft, policy=policy)


@page.post("/save", role=Role.ADMIN)
def save(visit: Visit) -> Response:
    """Keep the text, if nobody else has changed the policy since it was read here."""
    name, number, draft = _sent(visit)
    try:
        policy = _written(visit, name, draft)
        with visit.parts.database.write() as connection:
            store.put(
                connection,
                {policy.name: draft},
                of_file=visit.parts.policies_of_file,
                lists=_lists(visit),
                actor=visit.person.name,
                over=number,
                place=_PLACE,
            )
    except HasChanged as error:
        if name:
            # Whoever saves again has seen below what is there now.
            number = _number(visit, name)
        return _editor(visit, name=name, number=number, draft=draft, mistake=error.message, policy=policy)
    except (ConfigurationError, InvalidRequest) as error:
        return _editor(visit, name=name, number=number, draft=draft, mistake=str(error))
    said = visit.text("Saved. It holds everywhere within seconds.")
    return visit.redirect("policies", f"/one/{policy.name}", said=said)


@page.post("/drop/<name>", role=Role.ADMIN)
def drop(visit: Visit) -> Response:
    """Take it out of the database, where nothing else names it."""
    answers = () if visit.parts.answers is None else visit.parts.answers.all
    named = store.named_by(visit.parts.settings.default_policy, visit.parts.apps(), answers)
    _, number, _ = _sent(visit)
    with visit.parts.database.write() as connection:
        name = visit.arguments["name"]
        store.drop(
            connection,
            [name],
            of_file=visit.parts.policies_of_file,
            named=named,
            actor=visit.person.name,
            over=number,
        )
    return visit.redirect("policies", said=visit.text("The policy was removed."))


def load_draft(text: str, policies: Policies) -> Sequence[Policy]:
    """The policies that a file with this text defines. Raises ConfigurationError, which names the line, or TooLarge."""
    if len(text) > _MOST_DRAFT_CHARS:
        raise TooLarge(f"The draft has {len(text)} characters; the limit is {_MOST_DRAFT_CHARS}.", param="draft")
    drafted = drafted_policies(text, policies, where="draft.yaml")
    found = [one for one in drafted if BUILT_IN.get(one.name) != one]
    if not found:
        raise ConfigurationError("draft.yaml: it defines no policy that differs from those built in.")
    return found


def _sent(visit: Visit) -> tuple[str, int, str]:
    """The policy that is edited, the change that it was read at, and the text, with line ends as elsewhere."""
    number = visit.form.get("number", "")
    if not (number.isascii() and number.isdecimal() and len(number) < _MOST_DIGITS):
        raise InvalidRequest("`number` must be that of a change.", param="number")
    return visit.form.get("name", ""), int(number), visit.form.get("draft", "").replace("\r\n", "\n")


def _written(visit: Visit, name: str, draft: str) -> Policy:
    """What the text says of the policy of this name, or of a new one. Raises ConfigurationError, with the line."""
    if len(draft) > MAX_TEXT_CHARS:
        raise ConfigurationError(f"{_PLACE}: it has {len(draft)} characters; the limit is {MAX_TEXT_CHARS}.")
    name = name or next(iter(split_text(draft, where=_PLACE)))
    with visit.parts.database.read() as connection:
        texts = store.texts_of(connection)
    of_file = visit.parts.policies_of_file
    if name in of_file:
        raise ConfigurationError(f"{_PLACE}: the policy {name!r} is built in, or in the policies file.")
    found = stored_policies({**texts, name: draft}, of_file, written={name: _PLACE}, lists=_lists(visit))
    return found[name]


def _editor(
    visit: Visit, *, name: str, number: int, draft: str, mistake: str = "", policy: Policy | None = None
) -> Response:
    """The form; with what the draft would change, where it can be read."""
    policies = policies_now(visit)
    versions: Sequence[store.StoredPolicy] = ()
    if name:
        with visit.parts.database.read() as connection:
            versions = store.history(connection, name)
    now = policies.get(name) if name in policies else None
    changes = None if policy is None else differences(now, policy) if now is not None else []
    return visit.render(
        "policy_edit.html",
        status=400 if mistake else 200,
        name=name,
        number=number,
        draft=draft,
        mistake=mistake,
        changes=changes,
        rules=flat_rules(policy) if policy is not None and now is None else [],
        versions=versions[:_MOST_VERSIONS],
        is_hidden=name in visit.parts.policies_of_file,
        usual=name if now is not None else policies.default,
    )


def _number(visit: Visit, name: str) -> int:
    with visit.parts.database.read() as connection:
        found = store.history(connection, name)
    return found[0].number if found and found[0].text is not None else 0


def _lists(visit: Visit) -> set[str]:
    """The names of all lists; one of the database may have been made just now, elsewhere."""
    with visit.parts.database.read() as connection:
        return {one.name for one in read_lists(connection)}.union(visit.parts.lists or ())


def _origin(visit: Visit, policy: Policy) -> str:
    """Where it is kept, in words that the templates translate."""
    if policy.name not in visit.parts.policies_of_file:
        return "database"
    return "built in" if BUILT_IN.get(policy.name) == policy else "file"


def _kept(visit: Visit) -> list[str]:
    with visit.parts.database.read() as connection:
        return list(store.texts_of(connection))


def _shown(visit: Visit, *, draft: str = "", mistake: str = "", status: int = 200) -> Response:
    policies = policies_now(visit)
    return visit.render(
        "policies.html",
        status=status,
        policies=[(one, _origin(visit, one)) for one in policies],
        hidden=[name for name in _kept(visit) if name in visit.parts.policies_of_file],
        may_change=visit.person.may(Role.ADMIN),
        names=[(one.name, one.name) for one in policies],
        default=policies.default,
        days=[(one, visit.text("{days} days", days=one)) for one in DAYS],
        draft=draft,
        mistake=mistake,
    )


def _compared(visit: Visit, a: Policy, b: Policy, *, days: int, draft: str) -> Response:
    # Whoever came from the editor goes back with the text.
    is_edited = "number" in visit.form and visit.person.may(Role.ADMIN)
    edited = {"name": visit.form.get("name", ""), "number": visit.form["number"]} if is_edited else None
    found, aside = _comparison(visit, a, b, days=days)
    return visit.render(
        "policies_compared.html",
        a=a,
        b=b,
        is_draft=bool(draft),
        draft=draft,
        edited=edited,
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
