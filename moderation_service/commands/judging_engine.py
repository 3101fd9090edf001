"""Who judges a data set: the engine that the settings name, or else a vLLM that is started for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from ..config.setting import ServersUrl
from ..config.settings import Loaded, Settings, Source
from ..core.engine import Engine
from ..launch.ending import Ending
from ..launch.guard import GUARDS
from .hub_options import hub_options, vllm_options
from .options import load, setting_options

__all__ = ["engine_options", "judging_engine", "judging_servers", "judging_settings"]

_F = TypeVar("_F", bound=Callable[..., Any])
_SETTINGS = (
    "engine", "upstreams", "upstream_model", "upstream_dialect", "upstream_context_tokens", "upstream_max_windows",
    "upstream_timeout_s", "upstream_connect_timeout_s", "stream_upstream", "stream_model_dir",
)  # fmt: skip
_FOLDER = click.Path(path_type=Path, file_okay=False)
# A server with hundreds of questions in its queue answers each of them late: that is no failure here.
_TIMEOUT_S = 120.0
# For the windows of long texts, and for second servers.
_SPARE_SLOTS = 32
_OWN = (
    click.option(
        "--size",
        type=click.Choice([guard.size for guard in GUARDS]),
        help="Own vLLM: the model's size; otherwise the largest that fits.",
    ),
    click.option("--model", metavar="NAME", help="Own vLLM: another model on the hub, ORGANISATION/NAME."),
    click.option("--model-dir", type=_FOLDER, help="Own vLLM: a folder that has the model already."),
    hub_options,
    click.option("--max-model-len", type=click.IntRange(min=512), metavar="N", help="Own vLLM: context in tokens."),
    click.option("--gpu-memory", type=click.FloatRange(min=1.0), metavar="GIB", help="Own vLLM: its GPU memory."),
    click.option("--cpu", is_flag=True, help="Own vLLM: run it on the CPU; slow, and meant for trying things out."),
    click.option("--vllm", metavar="PATH", help="Own vLLM: the program, when it is in an environment of its own."),
    click.option("--vllm-arg", "vllm_args", multiple=True, metavar="ARG", help="Own vLLM: one more word; repeatable."),
    click.option(
        "--start-timeout",
        type=click.FloatRange(min=1),
        default=900.0,
        show_default=True,
        metavar="SECONDS",
        help="Own vLLM: how long it may take until it is ready.",
    ),
)
_OWN_NAMES = (
    "size", "model", "model_dir", "source", "revision", "hub_endpoint", "cache_dir", "max_model_len", "gpu_memory",
    "cpu", "vllm", "vllm_args", "start_timeout",
)  # fmt: skip


def engine_options(function: _F) -> _F:
    """The options that `judging_engine` reads: settings of engines, and those of an own vLLM."""
    for option in reversed(_OWN):
        function = option(function)
    return setting_options(*_SETTINGS)(function)


@contextlib.contextmanager
def judging_engine(given: Mapping[str, Any], *, in_flight: int, ending: Ending) -> Iterator[Engine]:
    """The engine, ready to be asked so many questions at once. What `engine_options` added is taken out of `given`.

    Raises ConfigurationError, LaunchError, or the EngineError that keeps it from judging.
    """
    with judging_servers(given, ending=ending) as settings:
        settings = replace(settings, upstream_concurrency=in_flight + _SPARE_SLOTS)
        from ..engines import create_engine

        with contextlib.closing(create_engine(settings)) as engine:
            engine.check_ready()
            yield engine


@contextlib.contextmanager
def judging_servers(given: Mapping[str, Any], *, ending: Ending) -> Iterator[Settings]:
    """The settings of the engine that is named, or those of a vLLM that runs inside the block. Raises as above."""
    settings, is_named = judging_settings(given)
    if is_named:
        yield settings
        return
    own = {name: given[name] for name in _OWN_NAMES}
    with _own_vllm(own, settings, ending) as settings:
        yield settings


def judging_settings(given: Mapping[str, Any]) -> tuple[Settings, bool]:
    """The settings, and whether they name an engine. Raises ConfigurationError."""
    loaded = load(given["config_file"], {name: value for name, value in given.items() if name in _SETTINGS})
    named = _named(loaded)
    if named is not None and any(given[name] for name in ("size", "model", "model_dir", "cpu", "vllm", "vllm_args")):
        raise click.UsageError(f"The settings name the engine {named.engine}; no vLLM is started for it.")
    settings = named or loaded.settings
    if loaded.sources["upstream_timeout_s"] is Source.DEFAULT:
        settings = replace(settings, upstream_timeout_s=_TIMEOUT_S)
    return settings, named is not None


def _named(loaded: Loaded) -> Settings | None:
    """The settings, if they say who judges; `upstreams` alone says it too."""
    if loaded.sources["engine"] is not Source.DEFAULT:
        return loaded.settings
    if loaded.sources["upstreams"] is not Source.DEFAULT:
        return replace(loaded.settings, engine="vllm")
    return None


@contextlib.contextmanager
def _own_vllm(own: Mapping[str, Any], settings: Settings, ending: Ending) -> Iterator[Settings]:
    from ..launch.lent import lent_vllm
    from ..launch.options import Outside
    from ..launch.progress import Console

    outside = Outside(environ=os.environ, console=Console(), settings=lambda environ: settings, print=click.echo)
    with lent_vllm(vllm_options(own, os.environ), outside, ending) as server:
        yield replace(settings, engine="vllm", upstreams=(ServersUrl(server.url),), upstream_api_key=server.api_key)
