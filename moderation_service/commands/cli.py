"""The command `moderation-service`: the group that all commands belong to, and how it ends."""

from __future__ import annotations

import sys

import click

from .. import __version__
from ..errors import ConfigurationError, DataError, ModerationError
from .adapt import adapt_command
from .annotate import annotate_command
from .apps import apps_group
from .bench import bench_command
from .benchmark import benchmark_group
from .calibrate import calibrate_command
from .check import check_command
from .config import config_group
from .console import console_group
from .download import download_command
from .eval import eval_command
from .filter import filter_command
from .lists import lists_group
from .mcp import mcp_command
from .options import CONTEXT
from .policies import policies_group
from .records import records_group
from .reviews import reviews_group
from .serve import serve_command
from .up import up_command

__all__ = ["cli", "main"]

EXIT_ERROR = 1


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


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="moderation-service")
def cli() -> None:
    """Self-hosted moderation for LLM applications, in front of Qwen3Guard."""


for _command in (
    serve_command,
    up_command,
    download_command,
    check_command,
    eval_command,
    adapt_command,
    calibrate_command,
    mcp_command,
    annotate_command,
    filter_command,
    benchmark_group,
    bench_command,
    policies_group,
    apps_group,
    lists_group,
    reviews_group,
    records_group,
    config_group,
    console_group,
):
    cli.add_command(_command)
