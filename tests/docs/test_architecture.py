"""The page on the architecture speaks of what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "moderation_service"
PAGES = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("architecture.md", "architecture.zh-CN.md")]
SPANS = sorted({span for text in PAGES for span in re.findall(r"`([^`\n]+)`", text)})
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("text", PAGES, ids=["en", "zh"])
def test_every_package_is_named(text: str) -> None:
    packages = {path.parent for path in PACKAGE.rglob("*/__init__.py")}
    # `data/rewards/` stands as `rewards/` on the line of `data/`.
    missing = [path.relative_to(PACKAGE) for path in packages if not re.search(rf"(?<!\w){path.name}\b", text)]
    assert sorted(missing) == []


@pytest.mark.parametrize("text", PAGES, ids=["en", "zh"])
def test_the_order_of_the_packages_is_the_one_that_is_held(text: str) -> None:
    tests = (ROOT / "tests" / "test_imports.py").read_text(encoding="utf-8")
    held = re.findall(r'"(\w+)"', tests.partition("ORDER = (")[2].partition(")")[0])
    shown = re.search(r"^`commands` > .*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert ["__main__", *re.findall(r"`(\w+)`", shown[0])] == held


def modules_named() -> list[tuple[str, str]]:
    """Modules and packages written with their package, and what of them is named."""
    found = (re.fullmatch(r"(\w+(?:/\w+)+)/?(?:\.(\w+))?", span) for span in SPANS)
    return [
        (one[1], one[2] or "") for one in found if one is not None and (PACKAGE / one[1].partition("/")[0]).is_dir()
    ]


@pytest.mark.parametrize(("module", "name"), modules_named())
def test_a_module_that_is_named_exists(module: str, name: str) -> None:
    path = PACKAGE / f"{module}.py"
    assert path.is_file() or (PACKAGE / module).is_dir()
    assert name in ("", "py") or re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("span", [span for span in SPANS if re.fullmatch(r"[A-Z][a-z]\w+(\.\w+)?", span)])
def test_a_class_that_is_named_exists(span: str) -> None:
    name, _, member = span.partition(".")
    assert re.search(rf"^class {name}\b", SOURCES, re.MULTILINE)
    assert re.search(rf"\b{member}\b", SOURCES)
