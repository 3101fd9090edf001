"""The commands under `policies`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import CONTEXT

__all__ = ["policies_group"]


@click.group("policies", context_settings=CONTEXT)
def policies_group() -> None:
    """Work with policy files."""


@policies_group.command("check", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Read a policy FILE as `serve` would and say what it defines, or what is wrong and where."""
    from ..config.policy_file import load_policies
    from ..core.policy import BUILT_IN

    found = load_policies(file, default="balanced")
    for policy in found:
        origin = "built in" if BUILT_IN.get(policy.name) == policy else "from the file"
        click.echo(f"{policy.name:<20} {origin:<14} {policy.description}")
