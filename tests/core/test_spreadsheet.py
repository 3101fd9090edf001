"""No text from outside is a formula in a table that somebody opens."""

from __future__ import annotations

import pytest

from moderation_service.core.spreadsheet import as_text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠SUM(1)"]
)
def test_what_a_spreadsheet_would_run_gets_a_mark(text: str) -> None:
    assert as_text(text) == "'" + text


@pytest.mark.parametrize("text", ["", "a=1", "'=1", "炸弹", " "])
def test_all_else_stays(text: str) -> None:
    assert as_text(text) == text
