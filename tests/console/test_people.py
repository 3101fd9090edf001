"""The pages People and Your password: who may sign in, and that nobody helps themselves to more."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from console import Visitor, quick_hashes, token_in, visitor  # noqa: F401 (a fixture)
from sqlalchemy import select

from moderation_service.config.settings import Url
from moderation_service.core.person import Role
from moderation_service.store import people
from moderation_service.store.schema import trail
from moderation_service.store.trail import now_ms

HOSTILE = '<b class="planted">x</b>'
PASSWORD = "correct horse battery"

pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
def admin(tmp_path: Path) -> Visitor:
    return visitor(tmp_path)


def added(admin: Visitor, name: str = "anna", role: str = "reviewer") -> str:
    """Add somebody, and return their link."""
    return link_in(admin.post("/people/add", name=name, role=role).text)


def link_in(page: str) -> str:
    found = re.search(r'id="link">http://localhost(/console/enter\?token=[\w-]+)<', page)
    assert found is not None, page
    return html.unescape(found[1])


def number_of(admin: Visitor, name: str) -> int:
    with admin.database.read() as connection:
        account = people.find_person(connection, name)
    assert account is not None
    return account.id


def enter(admin: Visitor, link: str) -> Visitor:
    """Somebody at a browser of their own, who opens this link."""
    somebody = Visitor(admin.client.application.test_client(), admin.database)
    path = link.removeprefix("/console")
    form = {"token": link.partition("token=")[2], "csrf": token_in(somebody.get(path))}
    somebody.entered = somebody.client.post("/console/enter", data=form).status_code
    if somebody.entered == 303:
        somebody.token = token_in(somebody.get(""))
    return somebody


def with_password(admin: Visitor, name: str = "anna") -> Visitor:
    """Somebody with an account and this password, who is signed in."""
    link = added(admin, name)
    somebody = enter(admin, link)
    assert somebody.post("/password", password=PASSWORD, again=PASSWORD).status_code == 303
    assert sign_in(somebody, name, PASSWORD) == 303
    somebody.token = token_in(somebody.get(""))
    return somebody


def sign_in(somebody: Visitor, name: str, password: str) -> int:
    form = {"name": name, "password": password, "csrf": token_in(somebody.get("/sign-in"))}
    return somebody.client.post("/console/sign-in", data=form).status_code


def test_somebody_is_added_enters_once_by_their_link_and_sets_a_password(admin: Visitor) -> None:
    link = added(admin)
    anna = enter(admin, link)
    assert "anna <" in re.sub(r"</?a[^>]*>", "", anna.get("").text).replace("<small>", "<")
    assert enter(admin, link).entered == 403, "it was used"
    assert anna.get("/people").status_code == 403
    assert anna.post("/password", password=PASSWORD, again=PASSWORD).status_code == 303
    assert anna.get("").status_code == 303, "the session has ended"
    assert sign_in(anna, "anna", PASSWORD) == 303
    assert link not in admin.get("/people").text
    with admin.database.read() as connection:
        rows = connection.execute(select(trail).where(trail.c.subject == "people:anna").order_by(trail.c.id)).all()
    assert [(row.actor, row.action) for row in rows] == [
        ("terminal", "people.add"),
        ("terminal", "people.link"),
        ("anna", "sign_in"),
        ("anna", "people.password"),
        ("anna", "sign_in"),
    ]
    secret = link.partition("token=")[2]
    assert not [row for row in rows if secret in f"{row.before}{row.after}" or PASSWORD in f"{row.before}{row.after}"]


def test_a_role_is_changed_and_everything_begun_before_ends(admin: Visitor) -> None:
    anna = with_password(admin)
    number = number_of(admin, "anna")
    link = link_in(admin.post(f"/people/{number}/link").text)
    assert admin.post(f"/people/{number}/role", role="admin").status_code == 303
    assert anna.get("").status_code == 303
    assert enter(admin, link).entered == 403, "it was made for the earlier role"
    assert sign_in(anna, "anna", PASSWORD) == 303
    assert anna.get("/people").status_code == 200
    with admin.database.read() as connection:
        (row,) = connection.execute(select(trail).where(trail.c.action == "people.role"))
    assert (json.loads(row.before)["role"], json.loads(row.after)["role"]) == ("reviewer", "admin")


def test_a_new_link_replaces_the_one_before(admin: Visitor) -> None:
    earlier = added(admin)
    later = link_in(admin.post(f"/people/{number_of(admin, 'anna')}/link").text)
    assert enter(admin, earlier).entered == 403, "it may have gone to somebody else"
    assert enter(admin, later).get("/").status_code == 200


@pytest.mark.parametrize(("path", "form"), [("role", {"role": "viewer"}), ("switch", {"on": "0"})])
def test_of_two_administrators_who_keep_each_other_out_one_is_left(
    admin: Visitor, monkeypatch: pytest.MonkeyPatch, path: str, form: dict[str, str]
) -> None:
    both = {}
    for name in ("anna", "bert"):
        with_password(admin, name)
        assert admin.post(f"/people/{number_of(admin, name)}/role", role="admin").status_code == 303
        both[name] = Visitor(admin.client.application.test_client(), admin.database)
        assert sign_in(both[name], name, PASSWORD) == 303
        both[name].token = token_in(both[name].get(""))
    statuses = []
    opened = admin.database.write
    writes = []

    def meanwhile() -> Any:
        """Anna's request is let in; before it changes anything, Bert's comes and goes."""
        writes.append(1)
        if len(writes) == 1:
            statuses.append(both["bert"].post(f"/people/{number_of(admin, 'anna')}/{path}", **form).status_code)
        return opened()

    monkeypatch.setattr(admin.database, "write", meanwhile)
    statuses.append(both["anna"].post(f"/people/{number_of(admin, 'bert')}/{path}", **form).status_code)
    assert statuses == [303, 403]
    with admin.database.read() as connection:
        left = {one.name for one in people.all_people(connection) if one.role is Role.ADMIN and not one.disabled_at}
    assert left == {"bert"}


def test_who_is_disabled_is_out_at_once_and_gets_no_link(admin: Visitor) -> None:
    anna = with_password(admin)
    number = number_of(admin, "anna")
    link = link_in(admin.post(f"/people/{number}/link").text)
    assert admin.post(f"/people/{number}/switch", on="0").status_code == 303
    assert anna.get("").status_code == 303
    assert enter(admin, link).entered == 403
    assert sign_in(anna, "anna", PASSWORD) == 403
    assert admin.post(f"/people/{number}/link").status_code == 400
    assert admin.post(f"/people/{number}/switch", on="1").status_code == 303
    assert sign_in(anna, "anna", PASSWORD) == 303


def test_nobody_changes_their_own_account_but_the_password(admin: Visitor) -> None:
    boss = enter(admin, added(admin, "boss", "admin"))
    number = number_of(admin, "boss")
    for path, form in (("role", {"role": "viewer"}), ("switch", {"on": "0"}), ("link", {})):
        reply = boss.post(f"/people/{number}/{path}", **form)
        assert (reply.status_code, "Somebody else has to change your account." in reply.text) == (400, True)
    assert boss.get("/people").status_code == 200


@pytest.mark.parametrize("path", ["role", "switch", "link"])
def test_who_is_not_there_can_not_be_changed(admin: Visitor, path: str) -> None:
    for number in (4711, 9223372036854775807):
        assert admin.post(f"/people/{number}/{path}", role="admin", on="0").status_code == 404
    for number in ("9223372036854775808", "1 OR 1=1", "-1"):
        assert admin.post(f"/people/{number}/{path}", role="admin", on="0").status_code in (404, 405)


@pytest.mark.parametrize(
    "form",
    [
        {"name": ""},
        {"name": "x" * 65},
        {"name": "terminal"},
        {"name": "a\tb"},
        {"name": "anna", "role": "owner"},
        {"name": "anna", "role": ""},
        {"name": "anna", "subject": "4711"},
    ],
)
def test_a_mistake_adds_nobody(admin: Visitor, form: dict[str, str]) -> None:
    assert admin.post("/people/add", **{"role": "admin", **form}).status_code == 400
    with admin.database.read() as connection:
        assert people.all_people(connection) == []


def test_a_name_is_taken_once_and_stays_text(admin: Visitor) -> None:
    added(admin, HOSTILE)
    assert admin.post("/people/add", name=HOSTILE, role="viewer").status_code == 400
    page = admin.get("/people").text
    assert HOSTILE not in page
    assert html.escape(HOSTILE, quote=False)[:10] in page


def test_somebody_of_the_provider_is_added_by_their_subject_and_has_no_password(tmp_path: Path) -> None:
    issuer: Any = {"console_oidc_issuer": Url("https://login.example"), "console_oidc_client_id": "m"}
    admin = visitor(tmp_path, console_url="http://localhost", **issuer)
    assert admin.post("/people/add", name="anna", role="viewer", subject="4711").status_code == 303
    with admin.database.read() as connection:
        account = people.find_by_subject(connection, issuer="https://login.example", subject="4711")
    assert account is not None
    assert account.name == "anna"
    assert admin.post(f"/people/{account.id}/link").status_code == 400


def test_a_password_is_changed_by_its_owner_who_knows_it(admin: Visitor) -> None:
    anna = with_password(admin)
    new = "another good password"
    for form in (
        {"current": "wrong password", "password": new, "again": new},
        {"password": new, "again": new},
        {"current": PASSWORD, "password": new, "again": f"{new}!"},
        {"current": PASSWORD, "password": "short", "again": "short"},
    ):
        assert anna.post("/password", **form).status_code == 400
    assert anna.post("/password", current=PASSWORD, password=new, again=new).status_code == 303
    assert [sign_in(anna, "anna", one) for one in (PASSWORD, new)] == [403, 303]


def test_a_password_can_not_be_guessed_at_an_open_browser(admin: Visitor) -> None:
    anna = with_password(admin)
    with admin.database.write() as connection:
        for _ in range(5):
            people.count_failure(connection, f"password:{number_of(admin, 'anna')}", now_ms=now_ms())
    assert anna.post("/password", current=PASSWORD, password=PASSWORD, again=PASSWORD).status_code == 429


def test_who_has_no_account_has_no_password(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, Role.VIEWER)
    assert "You sign in without a password." in somebody.get("/password").text
    assert somebody.post("/password", password=PASSWORD, again=PASSWORD).status_code == 400
