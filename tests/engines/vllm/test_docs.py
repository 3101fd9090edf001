"""docs/engines.md says what is so, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moderation_service.config.settings import declarations, load_settings
from moderation_service.core.neutralise import neutralise
from moderation_service.upstream.dialects import DIALECTS

DOCS = Path(__file__).parents[3] / "docs"
pages = pytest.mark.parametrize("page", ["engines.md", "engines.zh-CN.md"])


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


@pages
def test_the_sample_configuration_is_valid(page: str, tmp_path: Path) -> None:
    (sample,) = re.findall(r"```yaml\n(.*?)```", text_of(page), re.DOTALL)
    (tmp_path / "moderation.yaml").write_text(sample, encoding="utf-8")
    settings = load_settings(file=tmp_path / "moderation.yaml").settings
    assert (settings.engine, settings.upstreams) == ("vllm", ("http://127.0.0.1:8000",))


@pages
def test_every_setting_that_is_named_exists_and_every_dialect_is_described(page: str) -> None:
    text = text_of(page)
    events = {"upstream_ejected", "upstream_name_unknown", "upstream_rests"}  # of the log
    known = {setting.name for setting in declarations()} | events
    assert set(re.findall(r"`(upstream\w*|engine)`", text)) <= known
    for dialect in DIALECTS:
        assert f"`{dialect}`" in text


@pages
def test_the_table_of_swapped_characters_is_what_happens(page: str) -> None:
    rows = re.findall(r"^\| .*?`((?:<|USER|#).*?)`.* \| `([‹U＃].*?)`", text_of(page), re.MULTILINE)
    assert len(rows) == 5
    for sent, becomes in rows:
        assert neutralise(sent.replace("\\|", "|")) == becomes.replace("\\|", "|")


def test_both_languages_have_the_same_sections() -> None:
    english, chinese = (
        len(re.findall(r"^## ", text_of(page), re.MULTILINE)) for page in ("engines.md", "engines.zh-CN.md")
    )
    assert english == chinese
