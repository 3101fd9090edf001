"""docs/integrations.md names the versions that the tests install."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / name for name in ("integrations.md", "integrations.zh-CN.md")]
REQUIREMENTS = ("tests/litellm/requirements.txt", "tests/openai/requirements.txt", "tools/dify/requirements.txt")
NAMED = ("litellm", "openai", "langchain", "langchain-openai", "dify-plugin", "graphon")
FAMILIES = sorted((ROOT / "tests" / "clients").glob("*/requirements.txt"))


def installed() -> dict[str, str]:
    """The versions of the products, as pinned."""
    text = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in REQUIREMENTS)
    pinned = re.findall(r"^([\w.-]+?)(?:\[\w+\])?==([\w.]+)", text, re.MULTILINE)
    return {name.replace("_", "-"): version for name, version in pinned if name.replace("_", "-") in NAMED}


def test_every_product_has_a_pinned_version() -> None:
    assert set(installed()) == set(NAMED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.parametrize("file", FAMILIES, ids=lambda file: file.parent.name)
def test_the_versions_of_a_family_of_clients_are_those_installed(page: Path, file: Path) -> None:
    pinned = re.findall(r"==([\w.]+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    package = file.with_name("package.json")
    if package.exists():
        pinned += json.loads(package.read_text(encoding="utf-8"))["dependencies"].values()
    text = page.read_text(encoding="utf-8")
    assert pinned
    assert [version for version in pinned if version not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_versions_named_are_those_installed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [name for name, version in installed().items() if version not in text] == []
