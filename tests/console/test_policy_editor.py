"""Policies of the database on the page Policies: made, changed, dropped, by administrators."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console import Visitor, console_service, visitor
from sqlalchemy import select

from moderation_service.core.person import Role
from moderation_service.store import policies
from moderation_service.store.schema import policies as table
from moderation_service.store.schema import trail
from moderation_service.web import create_app

KIDS = "policies:\n  kids:\n    extends: strict\n    description: For children.\n"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Visitor]:
    service = console_service(tmp_path)
    assert service.store is not None
    yield Visitor(create_app(service=service).test_client(), service.store.database).sign_in()
    service.store.close()


def save(who: Visitor, draft: str, *, name: str = "", number: int = 0, to: str = "save") -> Any:
    return who.post(f"/policies/{to}", name=name, number=str(number), draft=draft, **{"with": "balanced"})


def kept(who: Visitor) -> dict[str, str]:
    with who.database.read() as connection:
        return policies.texts_of(connection)


def draft_in(page: str) -> str:
    found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def field_in(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def test_a_policy_is_made_previewed_changed_and_removed(admin: Visitor) -> None:
    assert "my-policy" in draft_in(admin.get("/policies/new").text)
    # Browsers end lines in their own way.
    made = save(admin, KIDS.replace("\n", "\r\n"))
    assert made.headers["Location"] == "/console/policies/one/kids"
    assert kept(admin) == {"kids": KIDS}
    page = admin.get("/policies").text
    assert "/console/policies/one/kids" in page
    assert "database" in page
    page = admin.get("/policies/edit/kids").text
    assert (draft_in(page), field_in(page, "number")) == (KIDS, "1")
    gentle = KIDS + "    actions: {controversial: flag}\n"
    page = save(admin, gentle, name="kids", number=1, to="preview").text
    assert 'prompt.actions.controversial</td><td dir="auto">block</td><td dir="auto">flag' in page
    assert (draft_in(page), kept(admin)) == (gentle, {"kids": KIDS})
    assert save(admin, gentle, name="kids", number=1).status_code == 303
    assert "flag" in admin.get("/policies/one/kids").text
    # An earlier version can be read, and saved again.
    page = admin.get("/policies/edit/kids", change=1).text
    assert (draft_in(page), field_in(page, "number")) == (KIDS, "2")
    assert admin.get("/policies/edit/kids", change=9).status_code == 404
    assert admin.post("/policies/drop/kids", number="2").status_code == 303
    assert admin.get("/policies/edit/kids").status_code == 404
    with admin.database.read() as connection:
        actions = connection.execute(select(trail.c.action).order_by(trail.c.id)).scalars().all()
    assert [one for one in actions if one.startswith("policy")] == ["policy.create", "policy.change", "policy.drop"]


def test_a_draft_of_one_that_is_kept_is_tried_on_what_was_recorded(admin: Visitor) -> None:
    save(admin, KIDS)
    form = {"draft": KIDS.replace("strict", "loose"), "with": "kids", "name": "kids"}
    page = admin.post("/policies/try", **form).text
    assert 'prompt.actions.controversial</td><td dir="auto">block</td><td dir="auto">allow' in page
    assert "Back to the text" not in page
    page = admin.post("/policies/try", number="1", **form).text
    back = {name: html.unescape(field_in(page, name)) for name in ("name", "number", "draft")}
    assert back == {"name": "kids", "number": "1", "draft": form["draft"]}
    # What a draft extends may be one of the database.
    page = admin.post("/policies/try", draft="policies: {teens: {extends: kids}}", **{"with": "kids"})
    assert page.status_code == 200


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        ("policies:\n  kids:\n    actions: {unsafe: blok}\n", "policy.yaml:3: `actions.unsafe` must be one of"),
        ("policies:\n  kids: {lists: gone}", "policy.yaml:2: `lists`: there is no list 'gone'"),
        ("policies:\n  kids: {thresholds: {unsafe: -1}}", "policy.yaml:2: `thresholds.unsafe` must be a number"),
        ("policies:\n  other: {}", "it must define the policy 'kids', and no other"),
        ("policies: [", "policy.yaml:"),
        ("policies: " + "[" * 3000, "nested too deeply"),
        (f"policies:\n  {HOSTILE}: {{}}", "policy.yaml:2: policy name"),
        ("policies:\n  __proto__: {}", "policy.yaml:2: policy name"),
        ("x" * 64_001, "the limit is 64000"),
    ],
)
@pytest.mark.parametrize("to", ["save", "preview"])
def test_a_mistake_stands_beside_the_text_with_its_line(admin: Visitor, draft: str, told: str, to: str) -> None:
    save(admin, KIDS)
    page = save(admin, draft, name="kids", number=1, to=to)
    assert page.status_code == 400
    assert told in html.unescape(page.text)
    assert draft_in(page.text) == draft
    assert HOSTILE not in page.text
    assert kept(admin) == {"kids": KIDS}


@pytest.mark.parametrize("name", ["strict", "../x", "nobody", "a\0b", HOSTILE])
def test_no_other_policy_is_written_by_a_forged_form(admin: Visitor, name: str) -> None:
    assert save(admin, KIDS, name=name).status_code == 400
    assert admin.post("/policies/save", name="", number="x", draft=KIDS).status_code == 400
    assert admin.post("/policies/drop/strict", number="0").status_code == 404
    assert kept(admin) == {}


def test_the_second_of_two_who_edit_is_told_and_keeps_the_text(admin: Visitor) -> None:
    save(admin, KIDS)
    mine, other = KIDS + "    on_uncovered: flag\n", KIDS + "    on_uncovered: block\n"
    assert save(admin, other, name="kids", number=1).status_code == 303
    page = save(admin, mine, name="kids", number=1)
    assert page.status_code == 400
    assert "has changed meanwhile" in page.text
    assert draft_in(page.text) == mine
    # It shows how both differ, and takes the place of the other when it is saved again.
    assert 'prompt.on_uncovered</td><td dir="auto">block</td><td dir="auto">flag' in page.text
    assert kept(admin) == {"kids": other}
    assert save(admin, mine, name="kids", number=int(field_in(page.text, "number"))).status_code == 303
    # A new one does not take the place of one that is there.
    assert save(admin, other).status_code == 400
    assert admin.post("/policies/drop/kids", number="1").status_code == 400
    assert kept(admin) == {"kids": mine}


def test_one_that_something_names_stays(admin: Visitor) -> None:
    save(admin, KIDS)
    assert admin.post("/apps/new", name="shop", policies="kids").status_code == 200
    page = admin.post("/policies/drop/kids", number="1")
    assert page.status_code == 400
    assert "the app &#39;shop&#39; names it" in page.text


def test_text_from_outside_is_shown_as_text(admin: Visitor) -> None:
    hostile = f"policies:\n  kids:\n    description: '{HOSTILE}'\n    message: '{HOSTILE}</textarea>{HOSTILE}'\n"
    assert save(admin, hostile).status_code == 303
    for path in ("/policies", "/policies/one/kids", "/policies/edit/kids", "/trail"):
        page = admin.get(path)
        assert page.status_code == 200
        assert HOSTILE not in page.text
    assert HOSTILE not in save(admin, hostile, name="kids", number=1, to="preview").text
    assert draft_in(admin.get("/policies/edit/kids").text) == hostile


def test_what_the_file_has_says_so_and_goes_before_one_of_the_database(tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies: {school: {extends: strict}, kids: {extends: loose}}")
    admin = visitor(tmp_path, policies_file=file)
    assert "is in the policies file" in admin.get("/policies/one/school").text
    page = save(admin, "policies: {school: {extends: loose}}")
    assert "in the policies file" in page.text
    assert kept(admin) == {}
    # One that was there before the file had it can be removed.
    with admin.database.write() as connection:
        row = {"name": "kids", "number": 1, "text": KIDS, "version": "0" * 12, "at": 1, "actor": "anna"}
        connection.execute(table.insert().values(row))
    assert "/policies/edit/kids" in admin.get("/policies").text
    assert "goes before this one" in admin.get("/policies/edit/kids").text
    assert admin.post("/policies/drop/kids", number="1").status_code == 303


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_others_than_administrators_change_nothing(tmp_path: Path, role: Role) -> None:
    somebody = visitor(tmp_path, role)
    for path in ("/policies/new", "/policies/edit/kids"):
        assert somebody.get(path).status_code == 403
    for to in ("save", "preview", "drop/kids"):
        assert save(somebody, KIDS, to=to).status_code == 403
    page = somebody.get("/policies").text
    assert "/policies/new" not in page
    assert kept(somebody) == {}


def test_in_chinese_too(admin: Visitor) -> None:
    save(admin, KIDS)
    assert "历史版本" in admin.get("/policies/edit/kids", lang="zh").text
    assert "数据库" in admin.get("/policies", lang="zh").text
