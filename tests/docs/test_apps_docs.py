"""What docs/apps.md says of apps is so, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from app_files import headers
from apps import client_of, make_service
from shown_commands import run_shown

from moderation_service.commands.apps import apps_group
from moderation_service.config import apps_file
from moderation_service.config.apps_file import load_apps
from moderation_service.config.policy_file import load_policies
from moderation_service.core.app import DEFAULT_END_USER, Door
from moderation_service.core.policy import BUILT_IN

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/apps.yaml"
PAGES = ["apps.md", "apps.zh-CN.md"]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", page(name), re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_the_example_is_the_file_and_can_be_loaded(name: str) -> None:
    shown = blocks(name)[0]
    assert EXAMPLE.read_text(encoding="utf-8").endswith(shown)
    assert [app.name for app in load_apps(EXAMPLE, policies=BUILT_IN)] == ["shop", "forum"]


def test_the_examples_keys_are_those_of_the_example() -> None:
    client = client_of(make_service(apps_file=EXAMPLE))
    shop = client.post("/moderate", json={"prompt": "x"}, headers=headers("example-key-of-the-shop"))
    assert (shop.status_code, shop.headers["RateLimit-Policy"]) == (200, "20;w=1, 600;w=60, 200000;w=86400")
    forum = client.post("/moderate", json={"prompt": "x"}, headers=headers("example-key-of-the-forum"))
    assert forum.json["policy"] == "strict"


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_shown_can_be_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text(blocks(name)[1], encoding="utf-8")
    rule = load_policies(tmp_path / "policies.yaml", default="community").get(None).escalation
    assert rule is not None
    assert rule.after_blocks == 3


@pytest.mark.parametrize("name", PAGES)
def test_every_field_door_and_place_is_on_the_page(name: str) -> None:
    words = [*(door.value for door in Door), *apps_file.APP_FIELDS, *DEFAULT_END_USER]
    assert [word for word in words if f"`{word}`" not in page(name)] == []


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_shown_print_what_is_shown(name: str) -> None:
    (block,) = re.findall(r"```console\n(.*?)```", page(name), re.DOTALL)
    assert run_shown(block)["blog.key"].startswith(b"mod-")


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_on_the_page(name: str) -> None:
    assert [command for command in apps_group.commands if f"`{command}" not in page(name)] == []
