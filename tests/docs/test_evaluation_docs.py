"""The page on evaluation: its example is run, and looks as it is shown but for the figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from processes import run_command

from moderation_service.data.evaluation.gates import METRICS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / f"evaluation{end}" for end in (".md", ".zh-CN.md")]


def shape(output: str) -> list[str]:
    """The lines without their figures, which may also be missing."""
    without = [re.sub(r"\d+(\.\d+)?(e-\d+)?%?|(?<= )-(?= |$)", "#", line) for line in output.strip().splitlines()]
    return [re.sub(r"( \[#, #\])|\s+", " ", line).strip() for line in without]


def shown(page: Path, command: str) -> str:
    match = re.search(re.escape(f"$ {command}\n") + r"(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


def test_the_example_prints_what_both_pages_show() -> None:
    done = run_command("eval", str(ROOT / "examples/labelled.jsonl"))
    assert done.returncode == 0
    for page in PAGES:
        assert shape(shown(page, "moderation-service eval examples/labelled.jsonl")) == shape(done.stdout.decode())


@pytest.mark.parametrize("page", PAGES, ids=lambda one: one.name)
def test_every_figure_that_can_be_a_limit_is_on_the_page(page: Path) -> None:
    text = page.read_text("utf-8")
    for metric in METRICS:
        score, _, rate = metric.partition("_")
        assert f"`{metric}`" in text or (f"`{score}_…`" in text and f"`{rate}`" in text), metric
