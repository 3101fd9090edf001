"""The command `moderation-service`: the group that all commands belong to, and how it ends."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from .. import __version__
from ..errors import ConfigurationError, DataError, ModerationError
from .options import CONTEXT

__all__ = ["cli", "main"]

EXIT_ERROR = 1
_COMMANDS = (
    "adapt", "annotate", "bench", "calibrate", "check", "download", "eval", "filter", "mcp", "serve", "up",
)  # fmt: skip
_GROUPS = ("apps", "benchmark", "config", "console", "lists", "policies", "records", "reviews")


class _Commands(click.Group):
    """Commands, each in the module of its name, which is loaded when it is asked for: no start waits for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted((*_COMMANDS, *_GROUPS))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        kind = "group" if cmd_name in _GROUPS else "command"
        command: click.Command = getattr(import_module(f".{cmd_name}", __package__), f"{cmd_name}_{kind}")
        return command


def main() -> None:
    """Run the command line; a mistake in the configuration ends with one line and exit code 1."""
    # A console in another encoding must not turn a verdict about Chinese text into a crash.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        cli.main(prog_name="moderation-service", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ConfigurationError, DataError, ModerationError) as error:
        click.echo(f"moderation-service: {error}", err=True)
        sys.exit(EXIT_ERROR)


@click.group(cls=_Commands, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="moderation-service")
def cli() -> None:
    """Self-hosted moderation for LLM applications, in front of Qwen3Guard."""
