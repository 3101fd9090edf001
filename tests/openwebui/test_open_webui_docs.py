"""docs/open-webui.md and its Chinese twin say what the examples and the service do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from apps import make_client

from .filter_runner import FilterRunner

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = (
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("open-webui.md", "open-webui.zh-CN.md")
)
EXAMPLES = ROOT / "examples" / "open-webui"
each_page = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["english", "chinese"])


def shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


@each_page
def test_the_table_has_every_valve_with_its_default(page: str) -> None:
    source = (EXAMPLES / "moderation_filter.py").read_text(encoding="utf-8")
    valves = FilterRunner(source, {}).function.Valves().model_dump()
    rows: dict[str, str] = {}
    for names, defaults in re.findall(r"^\|((?: `\w+`,?)+) \|([^|]*)\|", page, re.MULTILINE):
        found = re.findall(r"`(\w+)`", names)
        values = [one.strip(" `") for one in defaults.split(",")]
        rows.update(zip(found, values * len(found) if len(values) == 1 else values, strict=False))
    assert {name: rows.get(name) for name in valves} == {name: shown(default) for name, default in valves.items()}


@each_page
@pytest.mark.parametrize(("language", "name"), [("nginx", "nginx.conf"), ("caddyfile", "Caddyfile")])
def test_the_rules_shown_are_those_of_the_files(page: str, language: str, name: str) -> None:
    (shown,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert [line for line in shown.splitlines() if line not in text.splitlines()] == []
    assert f"examples/open-webui/{name}" in page


@each_page
def test_the_addresses_shown_are_filter_servers(page: str) -> None:
    bases = set(re.findall(r"http://127\.0\.0\.1:8787(/owui[a-z/]*)", page))
    assert bases == {"/owui", "/owui/strict"}
    for base in bases:
        assert make_client().get(f"{base}/models").json["pipelines"] is True


def test_both_languages_have_the_same_examples_tables_and_links() -> None:
    blocks = [re.findall(r"```.*?```", page, re.DOTALL) for page in (ENGLISH, CHINESE)]
    assert blocks[0] == blocks[1]
    assert ENGLISH.count("\n| ") == CHINESE.count("\n| ")
