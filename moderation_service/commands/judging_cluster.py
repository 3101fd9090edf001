"""Who judges a data set on a Ray cluster: the servers that the settings name, or a vLLM beside each actor."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.verdict import Detail
from ..errors import DataError
from ..launch.guard import GUARDS
from .judging_engine import judging_settings

if TYPE_CHECKING:
    from ..data.ray import Cluster, OwnVllm

__all__ = ["cluster_options", "judging_cluster"]

_F = TypeVar("_F", bound=Callable[..., Any])
_LOCAL = "local"
_DEFAULT_SIZE = "4B"


def cluster_options(function: _F) -> _F:
    """`--ray` and `--ray-actors`."""
    function = click.option(
        "--ray-actors",
        type=click.IntRange(1, 10_000),
        default=1,
        show_default=True,
        metavar="N",
        help="With --ray: actors, each with --in-flight questions; without an engine, each with a vLLM and a GPU.",
    )(function)
    return click.option(
        "--ray",
        "ray_address",
        is_flag=False,
        flag_value=_LOCAL,
        metavar="[ADDRESS]",
        help="Have it judged by a Ray cluster: auto for the one of this machine, HOST:PORT, or nothing for one that is "
        "started here. What follows --ray is its address, so it stands last, or as --ray=ADDRESS.",
    )(function)


@contextlib.contextmanager
def judging_cluster(given: Mapping[str, Any], *, detail: Detail) -> Iterator[Cluster]:
    """The actors, ready to be asked. Raises DataError, ConfigurationError, or the EngineError of an actor."""
    address: str = given["ray_address"]
    if Path(address).exists():
        raise click.UsageError(f"{address} would be the address of --ray; write --ray behind the files.")
    try:
        from ..data.ray import Cluster, Judges
    except ModuleNotFoundError as missing:
        raise DataError(str(missing)) from None
    import ray

    settings, is_named = judging_settings(given)
    own = None if is_named else _own_vllm(given)
    judges = Judges(
        settings=settings,
        vllm=own,
        detail=detail,
        actors=given["ray_actors"],
        in_flight=given["in_flight"],
        num_gpus=1.0 if own is not None and not given["cpu"] else 0.0,
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(address=address, log_to_driver=False, **({"include_dashboard": False} if address == _LOCAL else {}))
    except Exception as error:  # Ray has no class of its own for a cluster that can't be reached, or does not start
        raise DataError(f"--ray: no cluster: {' '.join(str(error).split())}") from None
    # Ray listens to them too, and would end this process before it has said how to go on.
    for number, handler in before.items():
        signal.signal(number, handler)
    try:
        with Cluster(judges) as cluster:
            yield cluster
    finally:
        ray.shutdown()


def _own_vllm(given: Mapping[str, Any]) -> OwnVllm:
    from ..data.ray import OwnVllm

    size = given["size"] or _DEFAULT_SIZE
    model = given["model_dir"] or given["model"] or next(guard.repo for guard in GUARDS if guard.size == size)
    length = str(given["max_model_len"] or 8192)
    return OwnVllm(
        model=str(model),
        program=given["vllm"] or "vllm",
        arguments=("--max-model-len", length, "--enable-prefix-caching", *given["vllm_args"]),
        start_timeout_s=given["start_timeout"],
    )
