"""docs/configuration.md, its Chinese twin and the chart's names are what the declarations say."""

from __future__ import annotations

import re
from pathlib import Path

from moderation_service.config import settings_docs
from moderation_service.config.settings import declarations

ROOT = Path(__file__).parents[2]


def test_every_setting_section_and_unit_has_its_chinese_text_and_no_other_has() -> None:
    texts = settings_docs.chinese()
    settings = declarations()
    wanted = {
        "settings": {setting.name for setting in settings},
        "sections": {setting.section for setting in settings},
        "units": {setting.unit for setting in settings if setting.unit},
    }
    for part, names in wanted.items():
        given = set(getattr(texts, part))
        assert names - given == set(), f"{settings_docs.TEXTS.name} lacks these under `{part}`"
        assert given - names == set(), f"{settings_docs.TEXTS.name} has these under `{part}`, which are gone"


def test_the_chinese_text_of_a_setting_names_what_the_english_one_names() -> None:
    """A text left behind by a change of the `help` mostly shows in these names."""
    texts = settings_docs.chinese().settings
    differing = {}
    for setting in declarations():
        lacking = {name for name in re.findall(r"`[^`]+`", setting.help) if name not in texts[setting.name]}
        if lacking:
            differing[setting.name] = lacking
    assert differing == {}


def test_the_page_of_settings_and_the_charts_names_are_up_to_date() -> None:
    """Write them again with `python -m moderation_service.config.settings_docs`."""
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == settings_docs.render()
    chinese = settings_docs.render(settings_docs.chinese())
    assert (ROOT / "docs/configuration.zh-CN.md").read_text(encoding="utf-8") == chinese
    names = ROOT / "manifests/helm/moderation-service/files/settings.txt"
    assert names.read_text(encoding="utf-8") == settings_docs.render_names()


def test_the_page_of_settings_names_each_of_them_once() -> None:
    page = settings_docs.render()
    for setting in declarations():
        assert page.count(f"### `{setting.name}`") == 1
        assert setting.help in page
        assert f"`{setting.env}`" in page
