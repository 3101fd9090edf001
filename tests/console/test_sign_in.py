"""Signing in and out: what opens the console, for how long, and what doesn't."""

from __future__ import annotations

import html
import re
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from console import Visitor, quick_hashes, sign_in_link, token_in, visitor  # noqa: F401 (a fixture)
from sqlalchemy import func, select

from moderation_service.console import passwords, sign_in
from moderation_service.core.person import Role
from moderation_service.errors import Overloaded
from moderation_service.store import people
from moderation_service.store.schema import sessions, sign_in_failures, trail
from moderation_service.store.trail import now_ms

PASSWORD = "correct horse battery staple"

pytestmark = pytest.mark.usefixtures("quick_hashes")


def add_person(somebody: Visitor, name: str = "anna", role: Role = Role.REVIEWER) -> people.Account:
    with somebody.database.write() as connection:
        hashed = passwords.hash_password(PASSWORD)
        assert people.add_person(connection, name, role, now_ms=now_ms(), password=hashed)
        account = people.find_person(connection, name)
    assert account is not None
    return account


def try_to_sign_in(somebody: Visitor, name: str = "anna", password: str = PASSWORD, **form: str) -> int:
    token = token_in(somebody.client.get("/console/sign-in"))
    reply = somebody.client.post("/console/sign-in", data={"name": name, "password": password, "csrf": token, **form})
    return reply.status_code


def cookie(somebody: Visitor, name: str = "moderation_session") -> str | None:
    found = somebody.client.get_cookie(name, path="/console")
    return found.value if found is not None else None


def test_the_right_password_opens_the_console(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    add_person(somebody)
    assert try_to_sign_in(somebody) == 303
    page = somebody.get("")
    assert page.status_code == 200
    assert "anna" in page.text


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "wrong"), ("nobody", PASSWORD), ("", PASSWORD), ("anna", ""), ("anna\x00", PASSWORD), ("a" * 2000, "x"),
     ("' OR 1=1 --", PASSWORD)],
)  # fmt: skip
def test_anything_else_does_not_and_the_answer_does_not_say_why(tmp_path: Path, name: str, password: str) -> None:
    somebody = visitor(tmp_path, None)
    add_person(somebody)
    token = token_in(somebody.client.get("/console/sign-in"))
    reply = somebody.client.post("/console/sign-in", data={"name": name, "password": password, "csrf": token})
    assert reply.status_code == 403
    assert "That name and password do not fit" in reply.text
    assert somebody.get("").status_code == 303


def test_a_disabled_account_is_out_at_once(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    account = add_person(somebody)
    try_to_sign_in(somebody)
    with somebody.database.write() as connection:
        people.change_person(connection, account, disabled_at=now_ms())
    assert somebody.get("").status_code == 303
    assert try_to_sign_in(somebody) == 403


def test_a_role_that_was_lowered_is_lower_in_a_session_that_was_begun_before(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    add_person(somebody, role=Role.ADMIN)
    try_to_sign_in(somebody)
    with somebody.database.write() as connection:
        connection.exec_driver_sql("UPDATE people SET role = 'viewer'")
    assert "viewer" in somebody.get("").text


def test_guessing_ends_after_five_tries_even_with_the_right_password_then(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    add_person(somebody)
    add_person(somebody, "berta")
    assert [try_to_sign_in(somebody, password="wrong") for _ in range(5)] == [403] * 5
    assert try_to_sign_in(somebody) == 429
    # Upper case is no way around it, and others are not kept out.
    assert try_to_sign_in(somebody, "ANNA") == 429
    assert try_to_sign_in(somebody, "berta") == 303


def test_a_window_of_tries_ends(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    with somebody.database.write() as connection:
        after = (0, 50, people.TRIES_MS - 1, people.TRIES_MS)
        counts = [people.count_failure(connection, "k", now_ms=1000 + ms) for ms in after]
    assert counts == [1, 2, 3, 1]


def test_a_stranger_who_tries_one_name_after_the_other_does_not_fill_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "_TRIES_FROM_PLACE", 3)
    somebody = visitor(tmp_path, None)
    assert [try_to_sign_in(somebody, f"name {number}", "x") for number in range(6)] == [403] * 3 + [429] * 3
    with somebody.database.read() as connection:
        rows = connection.execute(select(func.count()).select_from(sign_in_failures)).scalar_one()
    assert rows == 1 + 2 * 3, "the place, and both of each of the first three"


def test_few_threads_wait_for_passwords_to_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    class Slow:
        def verify(self, kept: str, password: str) -> bool:
            return goes_on.wait(30)

    monkeypatch.setattr(passwords, "_hasher", Slow)
    with ThreadPoolExecutor(5) as threads:
        tries = [threads.submit(passwords.is_password, PASSWORD, "kept") for _ in range(5)]
        done, waiting = wait(tries, timeout=30, return_when=FIRST_COMPLETED)
        goes_on.set()
    assert [type(one.exception()) for one in done] == [Overloaded]
    assert [one.result() for one in waiting] == [True] * 4


def test_the_right_password_starts_the_count_anew(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    add_person(somebody)
    for _ in range(3):
        assert [try_to_sign_in(somebody, password="wrong") for _ in range(3)] == [403] * 3
        assert try_to_sign_in(somebody) == 303
        somebody.client.delete_cookie("moderation_session", path="/console")


def test_a_session_set_before_the_sign_in_is_not_the_one_after_it(tmp_path: Path) -> None:
    """Whoever could plant a cookie would else be signed in beside their victim."""
    somebody = visitor(tmp_path, None)
    add_person(somebody)
    somebody.client.set_cookie("moderation_session", "planted-by-somebody-else", path="/console")
    try_to_sign_in(somebody)
    assert cookie(somebody) != "planted-by-somebody-else"
    first = cookie(somebody)
    somebody.client.set_cookie("moderation_session", first or "", path="/console")
    token = token_in(somebody.client.get("/console/enter?token=x"))
    secret = sign_in_link(somebody.database)
    somebody.client.post("/console/enter", data={"token": secret, "csrf": token})
    assert cookie(somebody) not in (None, first)
    somebody.client.set_cookie("moderation_session", first or "", path="/console")
    assert somebody.get("").status_code == 303, "the session before has ended"


def test_nobody_is_signed_in_by_a_form_of_another_site(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    add_person(somebody)
    form = {"name": "anna", "password": PASSWORD}
    assert somebody.client.post("/console/sign-in", data=form).status_code == 403
    token = token_in(somebody.client.get("/console/sign-in"))
    sent = somebody.client.post(
        "/console/sign-in", data={**form, "csrf": token}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert sent.status_code == 403
    sent = somebody.client.post(
        "/console/sign-in", data={**form, "csrf": token}, headers={"Origin": "https://evil.example"}
    )
    assert sent.status_code == 403


def test_signing_out_ends_the_session_wherever_its_cookie_is(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    copied = cookie(somebody)
    assert somebody.client.post("/console/sign-out").status_code == 403, "not without the form's token"
    assert somebody.post("/sign-out").status_code == 303
    assert cookie(somebody) is None
    somebody.client.set_cookie("moderation_session", copied or "", path="/console")
    assert somebody.get("").status_code == 303


def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    with somebody.database.write() as connection:
        connection.execute(sessions.update().values(expires_at=now_ms()))
    assert somebody.get("").status_code == 303


def test_the_cookie_can_be_read_by_no_script_and_the_store_does_not_have_it(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    secret = sign_in_link(somebody.database)
    token = token_in(somebody.client.get(f"/console/enter?token={secret}"))
    sent = somebody.client.post("/console/enter", data={"token": secret, "csrf": token}).headers["Set-Cookie"]
    assert "HttpOnly" in sent
    assert "SameSite=Lax" in sent
    value = sent.partition("=")[2].partition(";")[0]
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert value.encode() not in kept
    assert secret.encode() not in kept


def test_over_tls_the_cookie_is_for_this_host_and_tls_only(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None, console_url="https://localhost")
    secret = sign_in_link(somebody.database)
    token = token_in(somebody.client.get("/console/enter"))
    sent = somebody.client.post("/console/enter", data={"token": secret, "csrf": token}).headers.getlist("Set-Cookie")[
        0
    ]
    assert sent.startswith("__Host-moderation_session=")
    assert "Secure" in sent
    assert "Path=/;" in sent


def test_a_link_works_once_and_only_by_a_click(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    secret = sign_in_link(somebody.database)
    for _ in range(3):  # what looks at the address, such as a chat's preview, does not use it up
        assert somebody.client.get(f"/console/enter?token={secret}").status_code == 200
    form = {"token": secret, "csrf": token_in(somebody.client.get("/console/enter"))}
    assert somebody.client.post("/console/enter", data=form).status_code == 303
    form["csrf"] = token_in(somebody.client.get("/console/enter"))
    assert somebody.client.post("/console/enter", data=form).status_code == 403


def test_a_link_survives_the_choice_of_another_language(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    secret = sign_in_link(somebody.database)
    switch = re.search(r'class="language" href="([^"]+)"', somebody.client.get(f"/console/enter?token={secret}").text)
    assert switch is not None
    page = somebody.client.get(html.unescape(switch[1]))
    assert "登录" in page.text
    assert f'name="token" value="{secret}"' in page.text


def test_a_link_is_good_for_some_minutes(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    secret = sign_in_link(somebody.database, lifetime_ms=-1)
    form = {"token": secret, "csrf": token_in(somebody.client.get("/console/enter"))}
    assert somebody.client.post("/console/enter", data=form).status_code == 403


def test_after_the_sign_in_one_is_where_one_wanted_to_be_and_nowhere_else(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    add_person(somebody)
    sent = somebody.client.get("/console/nothing-yet?a=b")
    assert sent.status_code == 404
    token = token_in(somebody.client.get("/console/sign-in?next=/console/x"))
    form = {"name": "anna", "password": PASSWORD, "csrf": token, "next": "//evil.example/console"}
    assert somebody.client.post("/console/sign-in", data=form).headers["Location"] == "/console"


def test_sign_ins_are_in_the_trail(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, None)
    add_person(somebody)
    try_to_sign_in(somebody)
    with somebody.database.read() as connection:
        (row,) = connection.execute(trail.select())
    assert (row.actor, row.action, row.subject) == ("anna", "sign_in", "people:anna")


def test_what_is_typed_into_the_form_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    somebody = visitor(tmp_path, None)
    with caplog.at_level("DEBUG"):
        try_to_sign_in(somebody, name="my-password-by-mistake", password="another-secret")
    assert "by-mistake" not in caplog.text
    assert "another-secret" not in caplog.text


def test_a_cookie_that_was_not_made_here_is_not_even_looked_for(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    value = cookie(somebody)
    assert value is not None
    secret, _, mark = value.partition(".")
    triage = somebody.client.application.extensions["moderation.triage"]

    def body_bytes(sent: str) -> int:
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/console/playground", "HTTP_HOST": "localhost"}
        entry = triage.judge({**environ, "HTTP_COOKIE": f"a=b; {sent}"})
        return int(entry.body_bytes)

    assert body_bytes(f"moderation_session={value}") == 1024 * 1024
    for made_up in (secret, f"{secret}.", f"{secret}.{'0' * 32}", f"x{secret}.{mark}", "", "x" * 3000):
        assert body_bytes(f"moderation_session={made_up}") == 64 * 1024
        somebody.client.set_cookie("moderation_session", made_up, path="/console")
        assert somebody.get("").status_code == 303
