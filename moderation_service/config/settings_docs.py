"""Writes docs/configuration.md from the declarations: `python -m moderation_service.config.settings_docs`."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from .settings import ENV_PREFIX, Secret, Setting, declarations

__all__ = ["render"]

_INTRO = f"""# Configuration

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


def render() -> str:
    """The whole page."""
    parts = [_INTRO]
    for section, settings in groupby(declarations(), key=lambda setting: setting.section):
        parts.append(f"\n## {section}\n")
        parts.extend(_entry(setting) for setting in settings)
    return "".join(parts)


def render_names() -> str:
    """The names of all settings, by which the Helm chart refuses others before anything is installed."""
    return "".join(sorted(f"{setting.name}\n" for setting in declarations()))


def _entry(setting: Setting) -> str:
    facts = [f"default {_default(setting)}"]
    if setting.unit:
        facts.append(f"in {setting.unit}")
    if setting.choices:
        facts.append("one of " + ", ".join(f"`{choice}`" for choice in setting.choices))
    if setting.minimum is not None and setting.maximum is not None:
        facts.append(f"{setting.minimum:g} to {setting.maximum:g}")
    places = f"`{setting.env}`"
    if setting.kind is not Secret:
        flag = setting.flag + (f"`, `--no-{setting.flag[2:]}" if setting.kind is bool else "")
        places += f", `{flag}`"
    return f"\n### `{setting.name}`\n\n{setting.help}\n\n{'; '.join(facts)}. {places}.\n"


def _default(setting: Setting) -> str:
    value = setting.default
    if value is None or value == ():
        return "none"
    if isinstance(value, Secret):
        value = value.value
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(
            "usage: python -m moderation_service.config.settings_docs, in the project's folder; "
            "writes docs/configuration.md and the names that the Helm chart knows"
        )
    Path("docs/configuration.md").write_text(render(), encoding="utf-8")
    Path("manifests/helm/moderation-service/files/settings.txt").write_text(render_names(), encoding="utf-8")
