"""The service in front of the model server: its environment, its settings checked beforehand, a folder for logs."""

from __future__ import annotations

import contextlib
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..config.settings import ENV_PREFIX, Secret, Settings
from ..server.gunicorn_app import check_port_is_free
from ..server.run_folder import make_run_folder, remove_leftovers
from ..web.api_keys import check_exposure, load_api_keys
from .command_line import HOST
from .errors import LaunchError, ServerFailed
from .options import Outside, UpOptions
from .upstream import api_root

__all__ = ["checked_settings", "free_port", "render_service", "service_environment", "work_folder"]

_WORK_PREFIX = "moderation-up-"


def service_environment(environ: Mapping[str, str], upstreams: Sequence[str], api_key: Secret | None) -> dict[str, str]:
    """Our environment, and what tells the service where the model server is: no flags, because a key is in it."""
    told = {"ENGINE": "vllm", "UPSTREAMS": ",".join(map(api_root, upstreams))}
    if api_key is not None:
        told["UPSTREAM_API_KEY"] = api_key.value
    return {**environ, **{ENV_PREFIX + name: value for name, value in told.items()}}


def render_service(environment: Mapping[str, str], base: Mapping[str, str], service_args: Sequence[str]) -> str:
    """The service's command as one would type it into a shell; what of its environment is ours comes first."""
    words = []
    for name, value in environment.items():
        if value != base.get(name):
            words.append(f"{name}=" + ("<random>" if name.endswith("_KEY") else shlex.quote(value)))
    return " ".join([*words, shlex.join(("moderation-service", "serve", *service_args))])


def checked_settings(options: UpOptions, outside: Outside, environment: Mapping[str, str]) -> Settings:
    """What the service will run with; a mistake in it shows now, and not after the download."""
    settings = outside.settings(environment)
    if settings.engine != "vllm" or ",".join(settings.upstreams) != environment[ENV_PREFIX + "UPSTREAMS"]:
        raise LaunchError(
            "The settings engine and upstreams are made by `up` itself; leave them out of the options for serve."
        )
    check_exposure(settings, has_keys=bool(load_api_keys(settings)))
    if not options.dry_run:
        check_port_is_free(settings)
    return settings


def free_port() -> int:
    """A port on the loopback interface that nobody has."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """For vLLM's log. It stays when vLLM had to be given up, because the reason is in it, until the next start."""
    remove_leftovers(_WORK_PREFIX)
    folder = make_run_folder(_WORK_PREFIX)
    try:
        yield folder.path
    except ServerFailed:
        folder.close()
        raise
    except BaseException:
        folder.remove()
        raise
    folder.remove()
