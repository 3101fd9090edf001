"""The options that say where a model comes from, where it is kept, and what runs it: several commands have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..config.settings import Secret
from ..launch.hub import Source

if TYPE_CHECKING:
    from ..launch.options import UpOptions

__all__ = ["from_environment", "hub_options", "vllm_options"]

_F = TypeVar("_F", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--source",
        type=click.Choice([source.value for source in Source]),
        default=Source.HUGGINGFACE.value,
        show_default=True,
        help="The hub to download from.",
    ),
    click.option("--revision", metavar="REV", help="A branch, tag or commit of the model.  [default: main or master]"),
    click.option("--hub-endpoint", metavar="URL", help="A mirror of the hub.  [HF_ENDPOINT, MODELSCOPE_ENDPOINT]"),
    click.option(
        "--cache-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where models are kept.  [default: ~/.cache/moderation-service/models]",
    ),
)


def hub_options(function: _F) -> _F:
    """Add them to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def from_environment(source: Source, environ: Mapping[str, str]) -> tuple[Secret | None, str | None]:
    """The token for a hub and the address of a mirror, under the names by which the hub's own programs read them."""
    token_name, endpoint_name = (
        ("HF_TOKEN", "HF_ENDPOINT") if source is Source.HUGGINGFACE else ("MODELSCOPE_API_TOKEN", "MODELSCOPE_ENDPOINT")
    )
    token = environ.get(token_name)
    return Secret(token) if token else None, environ.get(endpoint_name) or None


def vllm_options(given: Mapping[str, Any], environ: Mapping[str, str]) -> UpOptions:
    """The options that all have who start a vLLM, with what `environ` says of the hub."""
    from ..launch.options import UpOptions

    source = Source(given["source"])
    token, mirror = from_environment(source, environ)
    return UpOptions(
        size=given["size"],
        model=given["model"],
        model_dir=given["model_dir"],
        source=source,
        revision=given["revision"],
        endpoint=given["hub_endpoint"] or mirror,
        token=token,
        cache_dir=given["cache_dir"],
        context=given["max_model_len"],
        memory_gib=given["gpu_memory"],
        cpu=given["cpu"],
        vllm=given["vllm"],
        vllm_args=given["vllm_args"],
        start_timeout_s=given["start_timeout"],
    )
