"""docs/threat-model.md and its Chinese twin: every promise names tests that are there, and both say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "threat-model.md", DOCS / "threat-model.zh-CN.md"]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def promises(page: Path) -> list[tuple[str, list[str]]]:
    """Each promise, and the files that its row links."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [(promise, re.findall(r"\]\(([^)#]+)\)", tests)) for promise, tests in rows if "](" in tests]


@each_page
def test_every_promise_names_tests_that_are_there(page: Path) -> None:
    found = promises(page)
    rows = re.findall(r"^\| (?!-)", page.read_text(encoding="utf-8"), re.MULTILINE)
    headings = page.read_text(encoding="utf-8").count("|---|---|")
    assert len(found) == len(rows) - headings > 20
    for promise, files in found:
        for file in files:
            path = (DOCS / file).resolve()
            assert path.is_file(), (promise, file)
            assert path.is_relative_to(DOCS.parent / "tests"), (promise, file)
            assert path.suffix == ".yaml" or "\ndef test_" in path.read_text(encoding="utf-8"), (promise, file)


@each_page
def test_every_attacker_has_what_is_not_promised(page: Path) -> None:
    sections = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    with_promises = [section for section in sections if "|---|---|" in section]
    assert len(with_promises) == 7
    assert [
        one.splitlines()[0] for one in with_promises if not re.search(r"\*\*(Not promised:|不保证：)\*\*", one)
    ] == []


def test_both_languages_promise_the_same() -> None:
    english, chinese = (promises(page) for page in PAGES)
    assert [files for _, files in english] == [files for _, files in chinese]


def test_the_way_to_report_names_no_address_that_was_made_up() -> None:
    text = (DOCS.parent / "SECURITY.md").read_text(encoding="utf-8")
    assert re.findall(r"[\w.+-]+@[\w-]+\.\w+|https?://\S+", text) == []
