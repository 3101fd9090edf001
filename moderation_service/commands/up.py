"""The click command `up`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config.settings import Settings, load_settings
from ..errors import ConfigurationError
from ..launch.cpu_engines import CPU_ENGINES
from ..launch.errors import LaunchError
from ..launch.guard import GUARDS
from ..launch.progress import Console
from .hub_options import hub_options, vllm_options
from .serve import serve_command

if TYPE_CHECKING:
    from ..launch.options import UpOptions

__all__ = ["up_command"]

_CPU_ONLY = ("cpu_engine", "engine_lock", "yes", "prepare_only", "drop_source")
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("up")
@click.option(
    "--size",
    type=click.Choice([guard.size for guard in GUARDS]),
    help="The model's size; otherwise the largest that fits.",
)
@click.option("--model", metavar="NAME", help="Another model on the hub, such as a fine-tuned one: ORGANISATION/NAME.")
@click.option("--model-dir", type=_FOLDER, help="A folder that has the model already; nothing is downloaded.")
@hub_options
@click.option("--max-model-len", type=click.IntRange(min=512), metavar="N", help="Context length in tokens.")
@click.option(
    "--gpu-memory-utilization",
    type=click.FloatRange(0.01, 1.0),
    metavar="FRACTION",
    help="The share of the GPU's memory that vLLM may take; otherwise as much as a guard can use.",
)
@click.option("--gpu-memory", type=click.FloatRange(min=1.0), metavar="GIB", help="The same as an amount in GiB.")
@click.option("--stream", is_flag=True, help="Also start Qwen3Guard-Stream, for token-level verdicts (docs/stream.md).")
@click.option(
    "--stream-size",
    type=click.Choice([guard.size for guard in GUARDS]),
    help="Its size; otherwise the largest that fits beside the other.",
)
@click.option("--stream-model-dir", type=_FOLDER, help="A folder that has Qwen3Guard-Stream already.")
@click.option("--cpu", is_flag=True, help="Run the 0.6B on the CPU, with programs that are fetched (docs/cpu.md).")
@click.option("--cpu-engine", type=click.Choice(list(CPU_ENGINES)), help="What runs it there.  [default: llamacpp]")
@click.option("-y", "--yes", is_flag=True, help="On the CPU: fetch and install what the plan says, without asking.")
@click.option("--prepare-only", is_flag=True, help="On the CPU: fetch and convert, print the result's path, and exit.")
@click.option(
    "--quiet", is_flag=True, hidden=True, help="With --prepare-only: neither plan nor path; `up` itself uses it."
)
@click.option("--drop-source", is_flag=True, help="On the CPU: remove the downloaded weights once they are converted.")
@click.option(
    "--engine-lock",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="On the CPU: a requirements file with hashes in place of the engine's own, such as for another build.",
)
@click.option("--vllm", metavar="PATH", help="The program vllm, when it is in an environment of its own.")
@click.option("--vllm-port", type=click.IntRange(1, 65535), help="vLLM's port on 127.0.0.1; otherwise a free one.")
@click.option(
    "--vllm-arg", "vllm_args", multiple=True, metavar="ARG", help="One more word for `vllm serve`; repeatable."
)
@click.option(
    "--start-timeout",
    type=click.FloatRange(min=1),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="How long vLLM may take until it is ready.",
)
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="URL",
    help="Use a vLLM that runs already, and start none; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Print the commands and exit.")
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="YAML file with the service's settings."
)
@click.option("--host", help="Address of the service.")
@click.option("--port", type=int, help="Port of the service.")
@click.argument("serve_options", nargs=-1, type=click.UNPROCESSED)
def up_command(**given: Any) -> None:
    """Bring up Qwen3Guard on this machine, with vLLM on a GPU or llama.cpp on the CPU, and the service in front of it.

    Chooses the model for the GPU's memory, downloads it, starts vLLM on the loopback interface, warms it up, serves,
    restarts vLLM when it dies, and stops everything on Ctrl-C or SIGTERM. Options of `serve` follow after `--`.
    Without a GPU it shows what the 0.6B on the CPU would take, and asks; --cpu --yes answers.

    Exit code: 0 stopped by SIGTERM, 130 by Ctrl-C, 1 failed, 2 nothing to run on, or vLLM not installed; 143 for
    --prepare-only stopped by SIGTERM.
    """
    from ..launch.options import Outside
    from ..launch.up import up

    _check_combination(given)
    options = _options(given, os.environ)
    outside = Outside(
        environ=os.environ,
        console=Console(),
        settings=lambda environ: _service_settings(options.service_args, environ),
        print=click.echo,
        ask=_ask if sys.stdin.isatty() else None,
    )
    try:
        sys.exit(up(options, outside))
    except LaunchError as error:
        click.echo(f"moderation-service: {error}", err=True)
        sys.exit(error.exit_code)


def _ask(question: str) -> bool:
    return click.confirm(question, default=False, err=True)


def _check_combination(given: Mapping[str, Any]) -> None:
    def count(*names: str) -> int:
        return sum(bool(given[name]) for name in names)

    if count("model_dir", "model") > 1 or count("model_dir", "size") > 1:
        raise click.UsageError("--model-dir names the model; leave --model and --size out.")
    if count("gpu_memory", "gpu_memory_utilization") > 1:
        raise click.UsageError("Give --gpu-memory or --gpu-memory-utilization, not both.")
    if given["cpu"] and count("gpu_memory", "gpu_memory_utilization"):
        raise click.UsageError("--cpu takes no GPU memory.")
    if count(*_CPU_ONLY) and count("stream", "vllm", "upstreams"):
        raise click.UsageError("--stream, --vllm and --upstream go without the options for an engine on the CPU.")
    if count("prepare_only", "drop_source", "cpu_engine", "engine_lock") and not given["cpu"]:
        raise click.UsageError("--cpu-engine, --engine-lock, --prepare-only and --drop-source go with --cpu.")
    if given["cpu"] and given["vllm_args"] and not count("vllm", "stream"):
        raise click.UsageError("--vllm-arg goes with --vllm: the engines of --cpu are set up by `up` itself.")
    if count("stream_size", "stream_model_dir") and not given["stream"]:
        raise click.UsageError("--stream-size and --stream-model-dir go with --stream.")
    if count("stream_size", "stream_model_dir") > 1:
        raise click.UsageError("--stream-model-dir names the model; leave --stream-size out.")
    if given["upstreams"] and given["stream"]:
        raise click.UsageError("--upstream starts no vLLM; a Stream server that runs is named by stream_upstream.")
    if given["upstreams"] and count("model", "model_dir", "size", "cpu", "vllm", "vllm_port", "vllm_args"):
        raise click.UsageError("--upstream starts no vLLM, so that options for it have no meaning.")


def _options(given: Mapping[str, Any], environ: Mapping[str, str]) -> UpOptions:
    service_args = [
        word
        for name in ("config", "host", "port")
        if given[name] is not None
        for word in (f"--{name}", str(given[name]))
    ]
    return replace(
        vllm_options(given, environ),
        fraction=given["gpu_memory_utilization"],
        cpu_engine=given["cpu_engine"],
        engine_lock=given["engine_lock"],
        yes=given["yes"],
        prepare_only=given["prepare_only"],
        quiet=given["quiet"],
        drop_source=given["drop_source"],
        stream=given["stream"],
        stream_size=given["stream_size"],
        stream_model_dir=given["stream_model_dir"],
        vllm_port=given["vllm_port"],
        upstreams=given["upstreams"],
        dry_run=given["dry_run"],
        service_args=(*service_args, *given["serve_options"]),
    )


def _service_settings(service_args: tuple[str, ...], environ: Mapping[str, str]) -> Settings:
    """The settings as `serve` would read them from these options. Raises ConfigurationError or click's errors."""
    flags = dict(serve_command.make_context("moderation-service up", list(service_args)).params)
    file = flags.pop("config_file")
    if file is not None and not Path(file).is_file():
        raise ConfigurationError(f"--config: {file} does not exist.")
    return load_settings(file=file, environ=environ, flags=flags).settings
