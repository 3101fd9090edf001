"""Your password: everybody with an account changes their own, and nobody else's."""

from __future__ import annotations

from werkzeug.wrappers import Response

from ...errors import InvalidRequest, Overloaded
from ...store import people
from ...store.people import Account
from ...store.trail import now_ms
from ..page import Page, Visit
from ..passwords import MIN_CHARS, hash_password, is_password

__all__ = ["page"]

page = Page("password", title="Your password", order=None)
_TRIES = 5
_MAX_CHARS = 1024


@page.get()
def show(visit: Visit) -> Response:
    """The form, for those who may have a password."""
    account = _account(visit)
    has_none = account is None or account.subject is not None
    return visit.render("password.html", account=None if has_none else account, min_chars=MIN_CHARS)


@page.post()
def change(visit: Visit) -> Response:
    """Another password; all sessions of this person end."""
    account = _account(visit)
    if account is None or account.subject is not None:
        raise InvalidRequest("You sign in without a password.", param="password")
    given = visit.form.get("password", "")
    if not MIN_CHARS <= len(given) <= _MAX_CHARS:
        raise InvalidRequest("The password is too short or too long.", param="password")
    if visit.form.get("again", "") != given:
        raise InvalidRequest("The two passwords differ.", param="again")
    key = f"password:{account.id}"
    if account.password is not None:
        _check(visit, account, key)
    hashed = hash_password(given)
    with visit.parts.database.write() as connection:
        people.forget_failures(connection, key)
        people.change_person(connection, account, password=hashed)
        visit.trail(connection, action="people.password", subject=f"people:{account.name}")
    return visit.redirect("sign-in")


def _check(visit: Visit, account: Account, key: str) -> None:
    """Whoever finds a browser open must not be able to keep its owner out. Raises InvalidRequest, Overloaded."""
    with visit.parts.database.write() as connection:
        is_over = people.count_failure(connection, key, now_ms=now_ms()) > _TRIES
    if is_over:
        wait_s = people.TRIES_MS / 1000
        raise Overloaded("Too many tries to sign in. Wait a quarter of an hour.", retry_after_s=wait_s)
    if not is_password(visit.form.get("current", "")[:_MAX_CHARS], account.password):
        raise InvalidRequest("This is not your password.", param="current")


def _account(visit: Visit) -> Account | None:
    if visit.person.id is None:
        return None
    with visit.parts.database.read() as connection:
        return people.find_account(connection, visit.person.id)
