"""The commands under `config`."""

from __future__ import annotations

from pathlib import Path

import click

from ..config.settings import Secret, declarations
from .options import CONTEXT, load, setting_options

__all__ = ["config_group"]


@click.group("config", context_settings=CONTEXT)
def config_group() -> None:
    """Look at the configuration."""


@config_group.command("show", context_settings=CONTEXT)
@setting_options()
def show(config_file: Path | None, **flags: object) -> None:
    """Print the effective settings and where each comes from; secrets are masked."""
    loaded = load(config_file, flags)
    for setting in declarations():
        value = getattr(loaded.settings, setting.name)
        click.echo(f"{setting.name:<20} {_shown(value):<28} {loaded.sources[setting.name].value}")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join("***" if isinstance(item, Secret) else str(item) for item in value) or "-"
    return str(value)
