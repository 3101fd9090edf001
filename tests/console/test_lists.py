"""The pages Lists and Answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from console import Visitor, console_service, visitor
from sqlalchemy import select

from moderation_service.core.list_entry import Entry
from moderation_service.core.person import Role
from moderation_service.store import apps
from moderation_service.store.lists import entries_of
from moderation_service.store.schema import trail
from moderation_service.web import create_app

HOSTILE = "<script>alert(1)</script>"


def test_a_list_is_made_filled_tried_and_removed(tmp_path: Path) -> None:
    service = console_service(tmp_path)
    assert service.store is not None
    admin = Visitor(create_app(service=service).test_client(), service.store.database).sign_in()
    assert admin.post("/lists/make", name="hotfix", counts_for="policy:balanced").status_code == 303
    fields = {"text": "quokka", "reason": "fun", "side": "block", "action": "block"}
    assert admin.post("/lists/hotfix/add", **fields).status_code == 303
    page = admin.get("/lists/hotfix").text
    assert "quokka" in page
    assert "fun" in page
    (entry,) = _stored(admin, "hotfix")
    assert (entry.text, entry.author != "") == ("quokka", True)
    # It counts at once, for the policy that it was made for.
    judged = admin.client.post("/moderate", json={"prompt": "a quokka"}).json
    assert (judged["action"], judged["list_entry"]["list"]) == ("block", "hotfix")
    tried = admin.post("/lists/test", text="My quokka!", target="prompt").text
    assert "<mark" in tried
    assert "hotfix" in tried
    assert admin.post("/lists/hotfix/remove", entry=entry.id).status_code == 303
    assert admin.client.post("/moderate", json={"prompt": "a quokka"}).json["action"] == "allow"
    assert admin.post("/lists/hotfix/drop").status_code == 303
    assert admin.get("/lists/hotfix").status_code == 404
    with admin.database.read() as connection:
        actions = connection.execute(select(trail.c.action).order_by(trail.c.id)).scalars().all()
    assert [one for one in actions if one.startswith("list")] == [
        "list.make",
        "list_entry.add",
        "list_entry.remove",
        "list.remove",
    ]
    service.store.close()


def test_a_list_that_an_app_names_stays_until_it_is_taken_out_there(tmp_path: Path) -> None:
    service = console_service(tmp_path)
    assert service.store is not None
    admin = Visitor(create_app(service=service).test_client(), service.store.database).sign_in()
    admin.post("/lists/make", name="own")
    admin.post("/apps/new", name="shop")
    with admin.database.write() as connection:
        apps.change(connection, "shop", {"lists": ["own"]}, policies=("balanced",), lists=("own",), actor="anna")
    assert service.following is not None
    service.following.refresh()
    refused = admin.post("/lists/own/drop")
    assert (refused.status_code, "take it out there first" in refused.text) == (400, True)
    with admin.database.write() as connection:
        apps.change(connection, "shop", {"lists": None}, policies=("balanced",), lists=("own",), actor="anna")
    service.following.refresh()
    assert admin.post("/lists/own/drop").status_code == 303
    service.store.close()


def test_a_list_is_given_to_an_app_and_counts_for_no_other(tmp_path: Path) -> None:
    service = console_service(tmp_path)
    assert service.store is not None
    admin = Visitor(create_app(service=service).test_client(), service.store.database).sign_in()
    keys = {name: _key_of(admin.post("/apps/new", name=name).text) for name in ("shop", "forum")}
    assert service.following is not None
    service.following.refresh()
    admin.post("/lists/make", name="own", counts_for="app:shop")
    admin.post("/lists/own/add", text="quokka")

    def actions(**body: str) -> list[str]:
        asked = {"prompt": "a quokka", **body}
        replies = (
            admin.client.post("/moderate", json=asked, headers={"Authorization": f"Bearer {key}"})
            for key in keys.values()
        )
        return [reply.json["action"] for reply in replies]

    assert actions() == actions(policy="strict") == ["block", "allow"]
    assert "app shop" in admin.get("/lists").text
    assert admin.post("/lists/own/attach", counts_for="app:forum").status_code == 303
    assert actions() == ["allow", "block"]
    assert admin.post("/lists/own/attach", counts_for="").status_code == 303
    assert actions() == ["allow", "allow"]
    # An app may name it too.
    assert admin.post("/apps/app/shop/change", lists="own").status_code == 303
    service.following.refresh()
    assert actions() == ["block", "allow"]
    assert "app shop" in admin.get("/lists").text
    assert admin.post("/apps/app/shop/change", lists="owm").status_code == 400
    service.store.close()


@pytest.mark.parametrize("counts_for", ["policy:none", "app:none", "app:", "shop", "policy:balanced' OR 1=1"])
def test_a_list_can_not_be_given_to_what_is_not_there(tmp_path: Path, counts_for: str) -> None:
    admin = visitor(tmp_path)
    assert admin.post("/lists/make", name="own", counts_for=counts_for).status_code == 400
    admin.post("/lists/make", name="own")
    assert admin.post("/lists/own/attach", counts_for=counts_for).status_code == 400
    assert admin.post("/lists/other/attach", counts_for="policy:balanced").status_code == 404


def test_many_entries_are_added_from_lines_or_a_csv_and_saved_again(tmp_path: Path) -> None:
    admin = visitor(tmp_path)
    admin.post("/lists/make", name="own")
    assert admin.post("/lists/own/import", rows="毒品\r\n冰毒\r\n").status_code == 303
    assert admin.post("/lists/own/import", rows="text,kind\nfoo bar,phrase\n").status_code == 303
    assert [one.text for one in _stored(admin, "own")] == ["毒品", "冰毒", "foo bar"]
    assert admin.get("/lists/own/export.csv").text.splitlines()[-1].split(",")[3] == "foo bar"
    refused = admin.post("/lists/own/import", rows="text,kind\n(?=a)b,pattern\n")
    assert refused.status_code == 400
    assert ":2: the pattern is refused" in refused.text


@pytest.mark.parametrize(
    "fields",
    [{"text": "(", "kind": "pattern"}, {"text": ""}, {"text": "a b", "kind": "word"}, {"text": "x", "expires": "soon"}],
)
def test_an_entry_with_a_mistake_is_refused(tmp_path: Path, fields: dict[str, str]) -> None:
    admin = visitor(tmp_path)
    admin.post("/lists/make", name="own")
    assert admin.post("/lists/own/add", **fields).status_code == 400
    assert _stored(admin, "own") == []


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    admin = visitor(tmp_path)
    admin.post("/lists/make", name="own")
    admin.post("/lists/own/add", text=f"x {HOSTILE}", reason=HOSTILE, exceptions=HOSTILE)
    for page in (
        admin.get("/lists/own"),
        admin.get("/lists/own", q=HOSTILE),
        admin.post("/lists/test", text=f"x {HOSTILE}"),
        admin.post("/lists/own/add", **{"text": HOSTILE, "try": "1"}),
        admin.post("/answers/try", question=HOSTILE, policy="balanced"),
    ):
        assert page.status_code == 200
        assert HOSTILE not in page.text


def test_who_only_looks_changes_nothing_and_a_reviewer_makes_no_list(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    looks = visitor(tmp_path / "a", Role.VIEWER)
    assert looks.get("/lists").status_code == 200
    assert looks.post("/lists/own/add", text="x").status_code == 403
    (tmp_path / "b").mkdir()
    reviewer = visitor(tmp_path / "b", Role.REVIEWER)
    assert reviewer.post("/lists/make", name="own").status_code == 403
    assert reviewer.post("/lists/own/attach", counts_for="policy:strict").status_code == 403


def test_a_list_of_a_file_is_shown_and_can_not_be_edited(tmp_path: Path) -> None:
    (tmp_path / "house.txt").write_text("weed\n")
    admin = visitor(tmp_path, lists_file=tmp_path / "house.txt")
    assert "weed" in admin.get("/lists/house").text
    assert admin.post("/lists/house/add", text="x").status_code == 404
    assert admin.post("/lists/make", name="house").status_code == 400


def test_a_question_is_tried_and_similar_ones_are_told(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("question,answer\nHow do I reset my password?,Ask Kim.\n")
    admin = visitor(tmp_path, answers_file=tmp_path / "answers.csv")
    assert "Ask Kim." in admin.get("/answers").text
    assert "this is shown" in admin.post("/answers/try", question="how do i reset my password", policy="balanced").text
    similar = admin.post("/answers/try", question="How do I delete my password?", policy="balanced").text
    assert "No answer is prepared" in similar
    assert similar.count("How do I reset my password?") == 2


def _key_of(page: str) -> str:
    found = re.search(r"mod-[\w-]{40,}", page)
    assert found is not None
    return found[0]


def _stored(admin: Visitor, name: str) -> list[Entry]:
    with admin.database.read() as connection:
        return entries_of(connection, name)
