"""docs/openai.md and its Chinese twin say what the service does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from shown_replies import steady

from moderation_service import errors
from moderation_service.core.verdict import Category
from moderation_service.errors import ModerationError
from moderation_service.web import create_app
from moderation_service.wires.openai_categories import APPROXIMATE, CATCH_ALL, MAPPING, OPENAI_CATEGORIES
from moderation_service.wires.openai_errors import render_error
from moderation_service.wires.openai_personas import LLAMA_GUARD_CODES, PERSONAS

DOCS = Path(__file__).parents[2] / "docs"
ENGLISH, CHINESE = ((DOCS / name).read_text(encoding="utf-8") for name in ("openai.md", "openai.zh-CN.md"))
CALLS = re.findall(r"```console\n\$ (curl .*)\n(.*)\n```", ENGLISH)

each_page = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["english", "chinese"])


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return create_app().test_client()


@pytest.mark.parametrize(("command", "printed"), CALLS)
def test_a_call_answers_what_the_page_says(client: FlaskClient, command: str, printed: str) -> None:
    _, _, url, _, header, _, body = shlex.split(command)
    path = url.removeprefix("http://127.0.0.1:8787")
    reply = client.post(path, data=body, content_type=header.removeprefix("Content-Type: "))
    assert steady(reply.json) == steady(json.loads(printed))


def test_every_route_has_a_call() -> None:
    called = " ".join(command for command, _ in CALLS)
    assert "/v1/moderations" in called
    assert "/v1/chat/completions" in called


@each_page
@pytest.mark.parametrize("category", Category)
def test_the_table_of_categories_is_the_one_in_use(page: str, category: Category) -> None:
    names = ", ".join(f"`{name}`" for name in MAPPING[category])
    mark = " *" if category in APPROXIMATE else ""
    assert f"\n| `{category.value}` | {names}{mark} |\n" in page


@each_page
def test_the_names_that_are_never_true_are_listed(page: str) -> None:
    claimed = {name for names in MAPPING.values() for name in names} | set(CATCH_ALL)
    assert all(f"`{name}`" in page for name in set(OPENAI_CATEGORIES) - claimed)


@each_page
def test_the_personas_and_their_codes_are_listed(page: str) -> None:
    assert all(f"| `{name}`" in page for name in PERSONAS)
    assert all(f"`{category.value}` {code}" in page for category, code in LLAMA_GUARD_CODES.items())


ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ModerationError) and kind.type != "engine_error"
]


@each_page
@pytest.mark.parametrize("kind", sorted(set(ERRORS) - {ModerationError}, key=lambda kind: kind.__name__))
def test_every_error_is_in_the_table(page: str, kind: type[ModerationError]) -> None:
    shown: Any = render_error(kind("x"))["error"]
    assert f"\n| {kind.status} | `{shown['type']}` | `{shown['code']}` |" in page
