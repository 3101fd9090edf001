"""The click command `download`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from ..launch.ending import Ending, StopRequested
from ..launch.errors import LaunchError
from ..launch.guard import GUARDS
from ..launch.hub import Hub, Source
from ..launch.progress import Console
from .hub_options import from_environment, hub_options
from .options import CONTEXT

__all__ = ["download_command"]


@click.command("download", context_settings=CONTEXT)
@click.option("--size", type=click.Choice([guard.size for guard in GUARDS]), help="A Qwen3Guard-Gen of this size.")
@click.option("--model", metavar="NAME", help="Another model on the hub: ORGANISATION/NAME.")
@click.option(
    "--without-weights",
    is_flag=True,
    help="Only the small files, such as config.json and tokenizer.json: what stream_model_dir needs.",
)
@hub_options
def download_command(**given: Any) -> None:
    """Download a model for vLLM, verify it, and print the folder that it is in.

    What `up` does before it starts vLLM, for a vLLM that runs elsewhere. A download that was broken off goes on where
    it stopped; a complete model is used without asking the hub.

    Exit code: 0 the model is there, 1 failed, 2 wrong usage, 143 stopped by SIGTERM, 130 by Ctrl-C.
    """
    if (given["size"] is None) == (given["model"] is None):
        raise click.UsageError("Give --size or --model.")
    with Ending() as ending:
        try:
            click.echo(_download(given))
            ending.begin()
        except StopRequested as stop:
            sys.exit(128 + signal.Signals(stop.signal))
        except LaunchError as error:
            click.echo(f"moderation-service: {error}", err=True)
            sys.exit(error.exit_code)


def _download(given: dict[str, Any]) -> Path:
    # Not before it is needed: every other command would wait for the HTTP client's import.
    from ..launch.download import Downloader, default_cache

    source = Source(given["source"])
    token, mirror = from_environment(source, os.environ)
    repos = {guard.size: guard.repo for guard in GUARDS}
    hub = Hub(
        source=source,
        repo=given["model"] or repos[given["size"]],
        revision=given["revision"] or source.default_revision,
        endpoint=given["hub_endpoint"] or mirror or source.endpoint,
        token=token,
        with_weights=not given["without_weights"],
    )
    cache = given["cache_dir"] or default_cache(os.environ)
    with contextlib.closing(Downloader(cache=cache, console=Console())) as downloader:
        return downloader.fetch(hub)
