"""What is installed: the dependencies of the package and of its extras."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def test_every_dependency_says_the_oldest_version_that_will_do() -> None:
    asked = [*PROJECT["dependencies"], *(one for name, extra in EXTRAS.items() if name != "dev" for one in extra)]
    assert [one for one in asked if not re.search(r"[>=]=\d", one)] == []


def test_a_dependency_of_several_extras_has_the_same_bounds_in_all() -> None:
    bounds: dict[str, set[str]] = defaultdict(set)
    for requirement in (*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra)):
        bounds[name_of(requirement)].add(requirement)
    assert {name: sorted(found) for name, found in bounds.items() if len(found) > 1} == {}


def test_what_tests_need_of_the_service_is_what_its_extras_install() -> None:
    """`make test` runs the tests of records, console, limits and lists."""
    needed = {one for extra in ("console", "postgres", "redis", "stream", "rewards") for one in EXTRAS[extra]}
    assert needed - set(EXTRAS["dev"]) == set()


def test_an_extra_that_the_code_or_a_page_names_exists() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "moderation_service").rglob("*.py")]
    named = {
        extra.strip()
        for text in texts
        for found in re.findall(r"'?\.\[([\w, ]+)\]'|install_command\(\"(\w+)\"\)", text)
        for extra in (found[0] or found[1]).split(",")
    }
    assert len(named) > 5
    assert named <= set(EXTRAS)
