"""What the commands share: flags made from the settings' declarations, and reading the settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ..config.settings import ENV_PREFIX, Loaded, Secret, Setting, declarations, load_settings

__all__ = ["CONTEXT", "JUDGING", "config_option", "load", "setting_options"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""On every command and not only on the group: a command that was once run without it forgets `-h`."""
JUDGING = ("engine", "default_policy", "policies_file", "lists_file", "answers_file", "deadline_s")
"""The settings of commands that judge without a server."""

_F = TypeVar("_F", bound=Callable[..., Any])


def setting_options(*names: str) -> Callable[[_F], _F]:
    """Flags for these settings (all of them when none is named), in the order of their declaration."""

    def decorate(function: _F) -> _F:
        # No flag for secrets: every user of the machine can read a command line.
        wanted = [one for one in declarations() if one.kind is not Secret and (not names or one.name in names)]
        for setting in reversed(wanted):
            function = _option(setting)(function)
        return config_option("YAML file with settings.")(function)

    return decorate


def config_option(help_text: str) -> Callable[[_F], _F]:
    """Which settings."""
    return click.option(
        "--config", "config_file", type=click.Path(path_type=Path), envvar=ENV_PREFIX + "CONFIG", help=help_text
    )


def _option(setting: Setting) -> Callable[[_F], _F]:
    help_text = f"{setting.help.replace('`', '')}  [{setting.env}]"
    if setting.kind is bool:
        flags = f"{setting.flag}/--no-{setting.flag[2:]}"
        return click.option(flags, setting.name, default=None, help=help_text)
    metavar = {int: "N", float: "SECONDS" if setting.unit == "seconds" else "X", Path: "FILE"}.get(setting.kind, "TEXT")
    if setting.choices:
        metavar = "|".join(setting.choices)
    return click.option(
        setting.flag, setting.name, default=None, metavar=metavar, help=help_text, multiple=setting.is_list
    )


def load(config_file: Path | None, flags: Mapping[str, object]) -> Loaded:
    """The settings from file, environment and flags; what looked odd on the way is told. Raises ConfigurationError."""
    loaded = load_settings(file=config_file, environ=os.environ, flags=flags)
    for warning in loaded.warnings:
        click.echo(f"moderation-service: warning: {warning}", err=True)
    return loaded
