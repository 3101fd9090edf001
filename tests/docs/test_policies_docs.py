"""The commands for policies of the database do what docs/policies.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shown_commands import run_shown

from moderation_service.commands.policies import policies_group

ROOT = Path(__file__).parents[2]
PAGES = ["policies.md", "policies.zh-CN.md"]
FILE = "policies:\n  kids:\n    extends: strict\n    description: For children.\n"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_shown_print_what_is_shown(name: str) -> None:
    (block,) = re.findall(r"```console\n(\$ moderation-service policies put .*?)```", page(name), re.DOTALL)
    run_shown(block, kids=FILE)


@pytest.mark.parametrize("name", PAGES)
def test_every_command_for_them_is_on_the_page(name: str) -> None:
    kept = policies_group.commands.keys() - {"check", "show", "diff", "compare"}
    assert [command for command in kept if f"| `{command}" not in page(name)] == []
