"""The trail of changes."""

from __future__ import annotations

import re
from pathlib import Path

from console import visitor

from moderation_service.core.person import Role
from moderation_service.store.trail import record


def test_the_trail_is_shown_page_by_page_and_by_person(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    with somebody.database.write() as connection:
        for number in range(70):
            who = ("anna", "berta")[number % 2]
            record(connection, actor=who, action="list_entry.add", subject=f"lists/drugs#{number}", after={"n": number})
    first = somebody.get("/trail").text
    older = re.search(r'<a href="/console([^"]*)">Older', first)
    assert older is not None
    second = somebody.get(older[1].replace("&amp;", "&")).text
    seen = re.findall(r"lists/drugs#(\d+)</a>", first + second)
    assert [int(one) for one in seen] == list(range(69, -1, -1))
    assert "sign_in" in second, "the sign-in of whoever looks is in it"
    of_anna = somebody.get("/trail", actor="anna").text
    assert len(re.findall(r"lists/drugs#\d+</a>", of_anna)) == 35
    assert "berta" not in of_anna


def test_an_address_that_was_tampered_with_is_a_mistake(tmp_path: Path) -> None:
    somebody = visitor(tmp_path)
    assert somebody.get("/trail", after="x").status_code == 400
    assert somebody.get("/trail", after="9" * 400).status_code == 200
    assert "Nothing was changed." in somebody.get("/trail", actor="' OR 1=1 --").text


def test_only_administrators_see_it(tmp_path: Path) -> None:
    assert visitor(tmp_path, Role.REVIEWER).get("/trail").status_code == 403
