"""Apps and keys, as an administrator and others see them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from app_files import SHOP, headers, write_apps
from console import Visitor, visitor

from moderation_service.core.app import key_digest
from moderation_service.core.person import Role
from moderation_service.core.verdict import Action
from moderation_service.store import apps, escalations
from moderation_service.store.escalations import StoredEscalation
from moderation_service.store.trail import now_ms


def key_on(page: str) -> str:
    found = re.search(r'id="key">(mod-[\w-]{43})<', page)
    assert found is not None, page
    return found[1]


def create(somebody: Visitor, name: str = "blog", **fields: str) -> str:
    page = somebody.post("/apps/new", name=name, **fields)
    assert page.status_code == 200, page.text
    return key_on(page.text)


def stored(somebody: Visitor, name: str = "blog") -> apps.StoredApp:
    with somebody.database.read() as connection:
        return apps.find(connection, name)


def test_an_app_is_made_by_a_form_and_its_key_is_shown_once(tmp_path: Path) -> None:
    admin = visitor(tmp_path)
    assert "every caller needs a key" in admin.get("/apps").text
    key = create(
        admin,
        policies="strict, balanced",
        policy="strict",
        doors="moderate",
        per_minute="60",
        at_once="4",
        description="<b>Blog</b>",
    )
    found = stored(admin)
    assert found.app.policies == {"strict", "balanced"}
    assert (found.app.limits.per_minute, found.app.limits.at_once) == (60, 4)
    assert [one.digest for one in found.app.keys] == [key_digest(key)]
    for page in (admin.get("/apps"), admin.get("/apps/app/blog")):
        assert page.status_code == 200
        assert key not in page.text
        assert "<b>Blog" not in page.text
        assert "&lt;b&gt;Blog" in page.text
    assert admin.get("/apps/new").status_code == 200
    assert "60 per minute, 4 at once" in admin.get("/apps").text


def test_a_mistake_is_told_with_its_field_and_makes_nothing(tmp_path: Path) -> None:
    admin = visitor(tmp_path, apps_file=write_apps(tmp_path))
    for fields, told in (
        ({"name": "Blog"}, "The name of an app"),
        ({"name": "shop"}, "There is an app"),
        ({"name": "blog", "per_day": "many"}, "limits.per_day"),
        ({"name": "blog", "doors": "window"}, "doors"),
    ):
        page = admin.post("/apps/new", **fields)
        assert page.status_code == 400
        assert told in page.text
    with admin.database.read() as connection:
        assert apps.load_apps(connection) == []


def test_keys_are_rotated_ended_and_the_app_is_switched_off(tmp_path: Path) -> None:
    admin = visitor(tmp_path)
    first = create(admin)
    second = key_on(admin.post("/apps/app/blog/rotate", keep_days="7").text)
    assert [one.digest for one in stored(admin).app.keys] == [key_digest(first), key_digest(second)]
    assert admin.post("/apps/app/blog/revoke", key="1").status_code == 303
    assert [one.digest for one in stored(admin).app.keys] == [key_digest(second)]
    assert admin.post("/apps/app/blog/switch", on="0").status_code == 303
    assert not stored(admin).app.is_enabled
    assert admin.post("/apps/app/blog/switch", on="1").status_code == 303
    assert stored(admin).app.is_enabled
    assert admin.post("/apps/app/blog/rotate", keep_days="9999").status_code == 400


def test_limits_and_policies_are_changed_and_an_empty_field_is_taken_out(tmp_path: Path) -> None:
    admin = visitor(tmp_path)
    create(admin, per_minute="60", policies="strict")
    assert admin.post("/apps/app/blog/change", per_day="5000").status_code == 303
    assert stored(admin).content == {"limits": {"per_day": 5000}}
    assert 'value="5000"' in admin.get("/apps/app/blog").text
    assert admin.post("/apps/app/nobody/change", per_day="1").status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_others_see_apps_and_change_none(tmp_path: Path, role: Role) -> None:
    admin = visitor(tmp_path)
    create(admin, per_minute="60")
    other = Visitor(admin.client.application.test_client(), admin.database).sign_in(role)
    page = other.get("/apps/app/blog")
    assert page.status_code == 200
    assert "<button" not in re.sub(r"<header.*?</header>", "", page.text, flags=re.DOTALL)
    for path in ("new", "app/blog/change", "app/blog/rotate", "app/blog/revoke", "app/blog/switch"):
        assert other.post(f"/apps/{path}", name="new").status_code == 403
    assert other.get("/apps/new").status_code == 403


def test_apps_of_the_file_are_shown_with_who_met_which_limit(tmp_path: Path) -> None:
    admin = visitor(tmp_path, apps_file=write_apps(tmp_path, "limits: {per_day: 1}"))
    for _ in range(3):
        admin.client.post("/moderate", json={"prompt": "x"}, headers=headers(SHOP))
    admin.client.application.extensions["moderation"].store.close()
    page = admin.get("/apps").text
    assert "From the apps file" in page
    assert "per day: 2" in page
    assert "From the apps file" not in admin.get("/apps", lang="zh").text


def test_a_reviewer_undoes_an_escalation_and_a_viewer_can_not(tmp_path: Path) -> None:
    reviewer = visitor(tmp_path, Role.REVIEWER)
    now = now_ms()
    begun = StoredEscalation(0, "<b>x</b>", "ab" * 16, "strict", Action.BLOCK, 3, now, now + 60_000, None, None)
    with reviewer.database.write() as connection:
        escalations.add(connection, [begun])
    page = reviewer.get("/apps/offenders").text
    assert "3 texts blocked" in page
    assert "<b>x" not in page
    viewer = Visitor(reviewer.client.application.test_client(), reviewer.database).sign_in(Role.VIEWER)
    assert viewer.post("/apps/offenders/1/undo").status_code == 403
    assert reviewer.post("/apps/offenders/1/undo").status_code == 303
    assert "undone by" in reviewer.get("/apps/offenders").text
