"""The overview and the decisions: what they count, filter, find and show, and to whom."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from console import Visitor, visitor
from console_records import HOSTILE, record, write_records

from moderation_service.console.marked import marked
from moderation_service.console.sheet import write_sheet
from moderation_service.core.person import Role
from moderation_service.core.verdict import Category
from moderation_service.store.codes import mask_of
from moderation_service.store.trail import now_ms

DAY = 86_400_000


def rows_of(page: str) -> list[str]:
    """The ids of the decisions on a page."""
    return re.findall(r'/console/decisions/(mod_[0-9a-f]{24})"', page)


def filled(folder: Path, role: Role = Role.REVIEWER) -> tuple[Visitor, dict[str, str]]:
    """A console with six decisions, and their ids."""
    somebody = visitor(folder, role)
    database = somebody.database
    records = {
        "blocked": record(database, "bomb"),
        "flagged": record(database, action=1, severity=1, app="forum", door="chat", target=1, categories=0),
        "allowed": record(database, action=0, severity=0, categories=0),
        "failed": record(database, action=3, severity=None, error="engine_unavailable", categories=0),
        "degraded": record(database, engine="lite", degraded=True, policy="strict"),
        "old": record(database, at=now_ms() - 20 * DAY),
    }
    write_records(database, list(records.values()))
    return somebody, {name: one.decision_id for name, one in records.items()}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"blocked", "flagged", "allowed", "failed", "degraded"}),
        ({"days": "30"}, {"blocked", "flagged", "allowed", "failed", "degraded", "old"}),
        ({"action": "block"}, {"blocked", "degraded"}),
        ({"action": "error"}, {"failed"}),
        ({"severity": "controversial"}, {"flagged"}),
        ({"category": "violent"}, {"blocked", "degraded"}),
        ({"category": "pii"}, set()),
        ({"app": "forum"}, {"flagged"}),
        ({"door": "chat"}, {"flagged"}),
        ({"engine": "lite"}, {"degraded"}),
        ({"policy": "strict"}, {"degraded"}),
        ({"target": "response"}, {"flagged"}),
        ({"degraded": "yes"}, {"degraded"}),
        ({"app": "' OR 1=1 --"}, set()),
        ({"app": "%"}, set()),
        ({"policy": "balanced\x00"}, set()),
        ({"action": "block' OR '1'='1"}, {"blocked", "flagged", "allowed", "failed", "degraded"}),
    ],
)
def test_a_filter_shows_what_it_says(tmp_path: Path, query: dict[str, str], expected: set[str]) -> None:
    somebody, ids = filled(tmp_path)
    page = somebody.get("/decisions", **query)
    assert page.status_code == 200
    assert {name for name, one in ids.items() if one in rows_of(page.text)} == expected


def test_pages_go_on_where_the_one_before_ended(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    now = now_ms()
    written = [record(somebody.database, at=now - n // 3) for n in range(120)]
    write_records(somebody.database, written)
    seen: list[str] = []
    address = "/decisions"
    for _ in range(3):
        page = somebody.get(address).text
        seen += rows_of(page)
        older = re.search(r'<a href="/console([^"]*after=[^"]*)">Older', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert address == ""
    assert len(seen) == 120
    assert set(seen) == {one.decision_id for one in written}


@pytest.mark.parametrize("query", [{"after": "x"}, {"after": "1"}, {"after": "9" * 60}, {"text": "zz"}, {"user": "zz"}])
def test_an_address_that_was_tampered_with_is_a_mistake_and_no_crash(tmp_path: Path, query: dict[str, str]) -> None:
    assert visitor(tmp_path).get("/decisions", **query).status_code == 400


def test_an_id_of_a_decision_or_a_request_is_found_however_old(tmp_path: Path) -> None:
    somebody, ids = filled(tmp_path)
    found = somebody.get("/decisions", id=f" {ids['old']} ")
    assert found.headers["Location"] == f"/console/decisions/{ids['old']}"
    pair = [record(somebody.database, request_id="req-of-two") for _ in range(2)]
    write_records(somebody.database, pair)
    assert set(rows_of(somebody.get("/decisions", id="req-of-two").text)) == {one.decision_id for one in pair}
    assert "0 decisions have this id" in somebody.get("/decisions", id=HOSTILE).text


def test_a_pasted_text_is_found_by_its_hash_and_stays_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    somebody = visitor(tmp_path)
    text = "two lines of marmalade\nthat somebody wrote"
    one = record(somebody.database, text)
    write_records(somebody.database, [one, record(somebody.database, "another")])
    sent = somebody.post("/decisions/find", text=text.replace("\n", "\r\n"))
    assert "marmalade" not in sent.headers["Location"]
    page = somebody.client.get(sent.headers["Location"])
    assert rows_of(page.text) == [one.decision_id]
    assert "marmalade" not in caplog.text + capfd.readouterr().err
    assert not [file for file in tmp_path.iterdir() if b"marmalade" in file.read_bytes()]


def test_a_decision_is_shown_with_its_text_and_the_place_in_it(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, Role.REVIEWER)
    one = record(somebody.database, f"say {HOSTILE} now", keep=True, span_start=4, span_end=10)
    write_records(somebody.database, [one])
    page = somebody.get(f"/decisions/{one.decision_id}").text
    assert "<mark>&lt;b cla</mark>" in page
    assert '<b class="planted">' not in page


def test_viewers_see_that_a_text_is_kept_but_not_the_text(tmp_path: Path) -> None:
    somebody = visitor(tmp_path, Role.VIEWER)
    one = record(somebody.database, "a private matter", keep=True)
    write_records(somebody.database, [one])
    page = somebody.get(f"/decisions/{one.decision_id}").text
    assert "a private matter" not in page
    assert "This text is kept; reviewers may read it." in page
    assert somebody.get("/decisions/export.csv").status_code == 403


@pytest.mark.parametrize("identity", ["mod_" + "0" * 24, "x", "%00", "..%2f..%2fetc"])
def test_a_decision_that_is_not_there_is_not_found(tmp_path: Path, identity: str) -> None:
    assert visitor(tmp_path).get(f"/decisions/{identity}").status_code == 404


def test_a_request_id_is_no_address_of_a_decision(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    write_records(somebody.database, [record(somebody.database, request_id="r1")])
    assert somebody.get("/decisions/r1").status_code == 404


def test_an_export_has_what_is_filtered_and_no_formulas(tmp_path: Path) -> None:
    somebody, ids = filled(tmp_path)
    evil = record(somebody.database, app="=HYPERLINK(1)", request_id="+1", key="@x")
    write_records(somebody.database, [evil])
    reply = somebody.get("/decisions/export.csv", action="block")
    assert reply.mimetype == "text/csv"
    assert "attachment" in reply.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.data.decode("utf-8-sig"))))
    assert {row["id"] for row in rows} == {ids["blocked"], ids["degraded"], evil.decision_id}
    (row,) = [row for row in rows if row["id"] == evil.decision_id]
    assert (row["app"], row["request_id"], row["key"]) == ("'=HYPERLINK(1)", "'+1", "'@x")


def test_the_overview_counts_and_its_numbers_lead_to_what_they_count(tmp_path: Path) -> None:
    somebody, ids = filled(tmp_path)
    page = somebody.get("").text
    blocked = re.search(r'<a class="value" href="([^"]*action=block[^"]*)">(\d+)</a>', page)
    assert blocked is not None
    assert blocked[2] == "2"
    shown = rows_of(somebody.client.get(blocked[1].replace("&amp;", "&")).text)
    assert set(shown) == {ids["blocked"], ids["degraded"]}
    assert "Ready" in page


def test_what_belongs_to_no_app_is_counted_and_found(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    rows = [record(somebody.database, app=app) for app in ("", "shop", "")]
    write_records(somebody.database, rows)
    counts = dict(re.findall(r'<a href="([^"]*[?&;]app=[^"]*)">(\d+)</a>', somebody.get("").text))
    (address,) = [one for one in counts if "none" in one and "action" not in one and "degraded" not in one]
    assert counts[address] == "2"
    shown = rows_of(somebody.client.get(address.replace("&amp;", "&")).text)
    assert set(shown) == {rows[0].decision_id, rows[2].decision_id}


def test_a_category_that_was_only_flagged_is_in_the_overview(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    write_records(somebody.database, [record(somebody.database, action=1, categories=mask_of([Category.PII]))])
    assert re.search(r"<td>PII</td>.*action=flag[^>]*>1</a>", somebody.get("").text)


def test_an_empty_overview_says_what_to_do(tmp_path: Path) -> None:
    assert "Nothing was checked in this time" in visitor(tmp_path).get("").text


def test_a_span_is_a_part_of_the_text() -> None:
    assert marked("abcdef", (2, 4)) == [("ab", False), ("cd", True), ("ef", False)]
    assert marked("abcdef", (0, 6)) == [("abcdef", True)]
    assert marked("abc", (5, 9)) == [("abc", False)]
    assert marked("abc", None) == [("abc", False)]


def test_a_sheet_without_rows_is_empty() -> None:
    assert write_sheet([]) == b"\xef\xbb\xbf"
