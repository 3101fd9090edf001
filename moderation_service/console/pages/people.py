"""People: who may sign in to the console, as what, and a link by which somebody gets in for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from ...core.person import Role
from ...errors import Forbidden, InvalidRequest
from ...store import people
from ...store.trail import now_ms
from ..page import Page, Visit, address

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ...store.people import Account

__all__ = ["page"]

page = Page("people", title="People", order=93, role=Role.ADMIN)
_LINK_HOURS = 24
_MAX_SUBJECT_CHARS = 400


@page.get()
def show(visit: Visit) -> Response:
    """Everybody who may sign in, or could once."""
    with visit.parts.database.read() as connection:
        accounts = people.all_people(connection)
    return visit.render(
        "people.html",
        accounts=accounts,
        choices=[(role.value, visit.text(role.value)) for role in Role],
        has_provider=visit.parts.settings.console_oidc_issuer is not None,
    )


@page.post("/add")
def add(visit: Visit) -> Response:
    """An account, with a link to sign in by; or for somebody of the provider, who needs none."""
    name, role = visit.form.get("name", "").strip(), _role(visit)
    subject, issuer = visit.form.get("subject", "").strip(), visit.parts.settings.console_oidc_issuer
    if not people.is_person_name(name):
        raise InvalidRequest("A name has 1 to 64 characters, and is not that of the terminal.", param="name")
    if subject and (issuer is None or len(subject) > _MAX_SUBJECT_CHARS or not subject.isprintable()):
        raise InvalidRequest("The provider calls nobody so.", param="subject")
    how = {"issuer": str(issuer), "subject": subject} if subject else {}
    with visit.parts.database.write() as connection:
        if not people.add_person(connection, name, role, now_ms=now_ms(), **how):
            raise InvalidRequest("There is somebody of this name, or with this subject, already.", param="name")
        visit.trail(connection, action="people.add", subject=f"people:{name}", after={"role": role.value})
        account = people.find_person(connection, name)
        assert account is not None
        secret = None if subject else _link(visit, connection, account)
    if secret is None:
        return visit.redirect("people", said=visit.text("{name} may sign in.", name=name))
    return _link_page(visit, account, secret)


@page.post("/<int(max=9223372036854775807):number>/role")
def change_role(visit: Visit) -> Response:
    """Another role; their sessions end."""
    role = _role(visit)
    with visit.parts.database.write() as connection:
        account = _other(visit, connection)
        if role is not account.role:
            _change(visit, connection, account, "role", role=role.value)
    return visit.redirect("people", said=visit.text("Saved. Their sessions have ended."))


@page.post("/<int(max=9223372036854775807):number>/switch")
def switch(visit: Visit) -> Response:
    """Keep somebody out at once, or let them in again."""
    is_on = visit.form.get("on") == "1"
    with visit.parts.database.write() as connection:
        account = _other(visit, connection)
        if (account.disabled_at is None) is not is_on:
            action, disabled_at = ("enable", None) if is_on else ("disable", now_ms())
            _change(visit, connection, account, action, disabled_at=disabled_at)
    said = "{name} may sign in again." if is_on else "{name} is out."
    return visit.redirect("people", said=visit.text(said, name=account.name))


@page.post("/<int(max=9223372036854775807):number>/link")
def make_link(visit: Visit) -> Response:
    """A link by which somebody signs in once, as themselves; it is on the page that comes back, and on no other."""
    with visit.parts.database.write() as connection:
        account = _other(visit, connection)
        if account.disabled_at is not None or account.subject is not None:
            raise InvalidRequest("This person can not sign in by a link.", param="number")
        secret = _link(visit, connection, account)
    return _link_page(visit, account, secret)


def _role(visit: Visit) -> Role:
    try:
        return Role(visit.form.get("role", ""))
    except ValueError:
        raise InvalidRequest("There is no such role.", param="role") from None


def _other(visit: Visit, connection: Connection) -> Account:
    """The account in the address. Whoever locks themselves out could not undo it.

    Nor may they whom somebody else has kept out since their request began: both could be the last administrators.
    """
    if visit.person.id is not None and visit.person.id not in people.hold_administrators(connection):
        raise Forbidden("You are no administrator any more.")
    account = people.find_account(connection, visit.arguments["number"])
    if account is None:
        raise visit.missing()
    if account.id == visit.person.id:
        raise InvalidRequest("Somebody else has to change your account.", param="number")
    return account


def _change(visit: Visit, connection: Connection, account: Account, action: str, **values: object) -> None:
    people.change_person(connection, account, **values)
    changed = people.find_account(connection, account.id)
    after = None if changed is None else changed.to_json()
    subject = f"people:{account.name}"
    visit.trail(connection, action=f"people.{action}", subject=subject, before=account.to_json(), after=after)


def _link(visit: Visit, connection: Connection, account: Account) -> str:
    lifetime_ms = _LINK_HOURS * 3_600_000
    secret = people.make_link(connection, account.role, now_ms=now_ms(), lifetime_ms=lifetime_ms, account=account)
    visit.trail(connection, action="people.link", subject=f"people:{account.name}", after={"hours": _LINK_HOURS})
    return secret


def _link_page(visit: Visit, account: Account, secret: str) -> Response:
    base = visit.parts.settings.console_url or visit.request.host_url.rstrip("/")
    link = f"{base}{address('enter', token=secret)}"
    return visit.render("people_link.html", name=account.name, link=link, hours=_LINK_HOURS)
