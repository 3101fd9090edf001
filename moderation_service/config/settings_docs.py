"""Writes docs/configuration.md and its Chinese twin: `python -m moderation_service.config.settings_docs`.

The English page comes from the declarations alone. The texts of the Chinese one are in settings.zh-CN.yaml, and the
console shows them too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from .settings import ENV_PREFIX, Secret, Setting, declarations

__all__ = ["TEXTS", "PageTexts", "chinese", "render", "render_names"]

TEXTS = Path(__file__).with_name("settings.zh-CN.yaml")

_INTRO = f"""# Configuration

[中文](configuration.zh-CN.md)

<!-- Made by `python -m moderation_service.config.settings_docs` from config/settings.py; change it there. -->

Every setting can be given in three places; a later one wins:

1. a YAML file, named by `--config FILE` or `{ENV_PREFIX}CONFIG`;
2. the environment: `{ENV_PREFIX}` and the name in capitals, such as `{ENV_PREFIX}PORT`;
3. a command-line flag, such as `--port`.

`moderation-service config show` prints what this amounts to and where each value comes from, with secrets masked.
A bad value stops the start with the name of the setting. An unknown name in the file is an error; an unknown
`{ENV_PREFIX}` variable is a warning, because Kubernetes invents some for a Service called "moderation"; its
`{ENV_PREFIX}PORT=tcp://...` is such a one too, and no port. Secrets have no flag: every user of a machine can read its
command lines.

```yaml
# moderation.yaml
host: 0.0.0.0
workers: 4
api_keys_file: /etc/moderation/keys
policies_file: /etc/moderation/policies.yaml
default_policy: balanced
```
"""


@dataclass(frozen=True)
class PageTexts:
    """What a page says in its language; `words` are patterns for `str.format`. A declaration's own text is English."""

    intro: str
    words: Mapping[str, str]
    units: Mapping[str, str]
    sections: Mapping[str, str]
    settings: Mapping[str, str]


_ENGLISH = PageTexts(
    intro=_INTRO,
    words={
        "default": "default {}",
        "without": "none",
        "unit": "in {}",
        "choices": "one of {}",
        "bounds": "{} to {}",
        "between": "; ",
        "comma": ", ",
        "end": ". ",
    },
    units={},
    sections={},
    settings={},
)


@cache
def chinese() -> PageTexts:
    """The Chinese texts, read with the first use."""
    return PageTexts(**yaml.safe_load(TEXTS.read_text(encoding="utf-8")))


def render(texts: PageTexts = _ENGLISH) -> str:
    """The whole page. What `texts` lacks stands there in English."""
    sections: dict[str, list[Setting]] = {}
    for setting in declarations():
        sections.setdefault(setting.section, []).append(setting)
    parts = [texts.intro]
    for section, settings in sections.items():
        parts.append(f"\n## {texts.sections.get(section, section)}\n")
        parts.extend(_entry(setting, texts) for setting in settings)
    return "".join(parts)


def render_names() -> str:
    """The names of all settings, by which the Helm chart refuses others before anything is installed."""
    return "".join(sorted(f"{setting.name}\n" for setting in declarations()))


def _entry(setting: Setting, texts: PageTexts) -> str:
    words = texts.words
    facts = [words["default"].format(_default(setting, texts))]
    if setting.unit:
        facts.append(words["unit"].format(texts.units.get(setting.unit, setting.unit)))
    if setting.choices:
        facts.append(words["choices"].format(words["comma"].join(f"`{choice}`" for choice in setting.choices)))
    if setting.minimum is not None and setting.maximum is not None:
        facts.append(words["bounds"].format(f"{setting.minimum:.15g}", f"{setting.maximum:.15g}"))
    places = [f"`{setting.env}`"]
    if setting.kind is not Secret:
        places.append(f"`{setting.flag}`")
        if setting.kind is bool:
            places.append(f"`--no-{setting.flag[2:]}`")
    help_text = texts.settings.get(setting.name, setting.help)
    said = f"{words['between'].join(facts)}{words['end']}{words['comma'].join(places)}{words['end'].rstrip()}"
    return f"\n### `{setting.name}`\n\n{help_text}\n\n{said}\n"


def _default(setting: Setting, texts: PageTexts) -> str:
    value = setting.default
    if value is None or value == ():
        return texts.words["without"]
    if isinstance(value, Secret):
        value = value.value
    if isinstance(value, tuple):
        return texts.words["comma"].join(f"`{one}`" for one in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(
            "usage: python -m moderation_service.config.settings_docs, in the project's folder; "
            "writes docs/configuration.md, its Chinese twin and the names that the Helm chart knows"
        )
    Path("docs/configuration.md").write_text(render(), encoding="utf-8")
    Path("docs/configuration.zh-CN.md").write_text(render(chinese()), encoding="utf-8")
    Path("manifests/helm/moderation-service/files/settings.txt").write_text(render_names(), encoding="utf-8")
