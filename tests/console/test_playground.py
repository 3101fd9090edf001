"""The playground and the settings."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from console import visitor
from console_records import HOSTILE
from fakes import FakeEngine

from moderation_service.config import settings_docs
from moderation_service.config.settings import Secret, Settings, declarations
from moderation_service.core.person import Role
from moderation_service.store.schema import decisions
from moderation_service.web import create_app


def shown_results(page: str) -> list[tuple[str, str]]:
    """Policy and action of each side."""
    return re.findall(r"<p><strong>([\w-]+)</strong>.*?badge is-(\w+)", page, flags=re.DOTALL)


def test_two_policies_are_seen_side_by_side(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    page = somebody.post("/playground", prompt="an election", policy_a="balanced", policy_b="strict")
    assert shown_results(page.text) == [("balanced", "flag"), ("strict", "block")]
    assert "an election</textarea>" in page.text, "the form keeps what was in it"


def test_htmx_gets_the_result_alone(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    headers = {"HX-Request": "true", "X-CSRF-Token": somebody.token, "Sec-Fetch-Site": "same-origin"}
    reply = somebody.client.post("/console/playground", data={"prompt": "bread"}, headers=headers)
    assert "<html" not in reply.text
    assert [action for _, action in shown_results(reply.text)] == ["allow", "allow"]


def test_nothing_of_it_is_counted_recorded_or_remembered(tmp_path: Path) -> None:
    engine = FakeEngine()
    somebody = visitor(tmp_path, engine=engine)
    for _ in range(2):
        somebody.post("/playground", prompt="marmalade", policy_a="balanced", policy_b="balanced")
    assert "moderation_decisions_total{" not in somebody.client.get("/metrics").text
    with somebody.database.read() as connection:
        assert connection.execute(decisions.select()).all() == []
    assert len(engine.calls) == 4, "a cached verdict would have hidden what the engine says now"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"prompt": "  "},
        {"prompt": "x", "policy_a": "nobodys"},
        {"prompt": "x", "engine_b": "../vllm"},
        {"prompt": HOSTILE, "policy_a": HOSTILE},
    ],
)
def test_mistakes_in_the_form_are_told(tmp_path: Path, form: dict[str, str]) -> None:
    reply = visitor(tmp_path).post("/playground", **form)
    assert reply.status_code == 400
    assert '<b class="planted">' not in reply.text


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    page = visitor(tmp_path).post("/playground", prompt=HOSTILE).text
    assert '<b class="planted">' not in page
    assert "{{7*7}}" in page


def test_a_part_of_a_table_is_judged_row_by_row(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    rows = [{"prompt": "bread"}, {"prompt": "election"}, {"prompt": ""}, {"prompt": "q", "response": "bomb"}]
    sent = {"policy_a": "balanced", "policy_b": "strict", "rows": rows}
    reply = somebody.client.post("/console/playground/rows", json=sent, headers={"X-CSRF-Token": somebody.token})
    actions = [(row["a"]["action"], row["b"]["action"]) for row in reply.json["rows"]]
    assert actions == [("allow", "allow"), ("flag", "block"), ("error", "error"), ("block", "block")]


@pytest.mark.parametrize("rows", [None, [], "x", [1], [{"prompt": 1}], [{"prompt": "x"}] * 21])
def test_a_part_that_is_none_is_refused(tmp_path: Path, rows: object) -> None:
    somebody = visitor(tmp_path)
    headers = {"X-CSRF-Token": somebody.token}
    assert somebody.client.post("/console/playground/rows", json={"rows": rows}, headers=headers).status_code == 400


def test_settings_show_what_is_set_and_no_secret(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, Role.VIEWER, api_keys=(Secret("name:a-very-secret-key"),), threads=17)
    page = somebody.get("/settings").text
    assert "a-very-secret-key" not in page
    assert "moderation.db" not in page, "the database's address may hold a password"
    assert "<strong>17</strong>" in page
    assert "•••" in page


def test_settings_are_explained_in_the_visitors_language(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, Role.VIEWER)
    english, chinese = (html.unescape(somebody.get("/settings", lang=one).text) for one in ("en", "zh"))
    texts = settings_docs.chinese()
    for one in declarations():
        assert one.help.replace("`", "") in english
        assert one.help.replace("`", "") not in chinese
        assert f"<h2>{texts.sections[one.section]}</h2>" in chinese
    # Links lead to pages that are not here: their words stay.
    assert "见 Webhook 通知。" in chinese
    assert ".md)" not in chinese


def test_settings_show_what_a_reload_changed(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, threads=17)
    assert "There was none since the start." in somebody.get("/settings").text
    service = somebody.client.application.extensions["moderation"]
    before = Settings(**{**vars(service.settings), "threads": 23, "upstream_api_key": Secret("hidden-from-all")})
    somebody.client = create_app(service=service, before_reload=before).test_client()
    page = somebody.sign_in().get("/settings").text
    changed = page.split("What the last reload changed", 1)[1].split("</table>")[0]
    assert re.findall(r'class="mono">(\w+)<', changed) == ["threads", "upstream_api_key"]
    assert "hidden-from-all" not in page
