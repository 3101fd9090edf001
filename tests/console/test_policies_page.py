from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from console import Visitor
from recorded import recorded_service

from moderation_service.core.person import Role

DRAFT = "policies:\n  mine: {extends: balanced, actions: {controversial: block}}\n"


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Visitor]:
    with recorded_service(tmp_path, console="on") as made:
        made.moderate("bread", "an election", "a bomb")
        yield Visitor(made.client, made.database).sign_in(Role.VIEWER)


def tiles(page: str) -> list[str]:
    return [part.partition("</span>")[0] for part in page.split('<span class="value">')[1:]]


def test_every_policy_is_listed_and_can_be_read(viewer: Visitor) -> None:
    page = viewer.get("/policies").text
    assert all(f"/console/policies/one/{name}" in page for name in ("strict", "balanced", "loose"))
    assert 'prompt.actions.controversial</td><td dir="auto">block' in viewer.get("/policies/one/strict").text
    assert viewer.get("/policies/one/nobody").status_code == 404


def test_two_policies_are_compared_on_what_was_recorded(viewer: Visitor) -> None:
    page = viewer.get("/policies/compare", a="balanced", b="strict", days=7).text
    assert tiles(page) == ["3", "1", "2", "1", "0", "0"]
    assert 'prompt.actions.controversial</td><td dir="auto">flag</td><td dir="auto">block' in page
    assert page.count('class="id mono"') == 1


def test_a_draft_is_checked_and_compared_and_forgotten(viewer: Visitor) -> None:
    form = {"draft": DRAFT, "with": "balanced", "period": "1"}
    assert tiles(viewer.post("/policies/try", **form).text) == ["3", "1", "2", "1", "0", "0"]
    assert "/one/mine" not in viewer.get("/policies").text


@pytest.mark.parametrize(
    ("draft", "name", "message"),
    [
        ("policies:\n  mine: {actions: {unsafe: blok}}", "", "draft.yaml:2: `actions.unsafe` must be one of"),
        ("policies: [", "", "draft.yaml:"),
        ("policies: " + "[" * 3000, "", "nested too deeply"),
        ("policies: {}", "", "it defines no policy that differs"),
        ("a" * 200_001, "", "the limit is 200000"),
        (DRAFT, "other", "it has mine."),
    ],
)
def test_a_mistake_in_a_draft_is_shown_with_its_line_and_the_draft_stays(
    viewer: Visitor, draft: str, name: str, message: str
) -> None:
    reply = viewer.post("/policies/try", **{"draft": draft, "name": name, "with": "balanced"})
    assert reply.status_code == 400
    assert message in reply.text
    assert draft[:9] in reply.text
    assert "/tmp" not in reply.text


@pytest.mark.parametrize("query", [{"a": "nobody"}, {"b": "nobody"}, {"days": "9999"}, {"days": "seven"}])
def test_what_can_not_be_compared_is_an_error(viewer: Visitor, query: dict[str, str]) -> None:
    assert viewer.get("/policies/compare", **query).status_code in (400, 404)
