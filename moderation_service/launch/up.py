"""The whole flow of `moderation-service up`: plan, download, start vLLM, warm it up, serve, end everything."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..config.extras import install_command
from ..config.settings import ENV_PREFIX, Secret, Settings
from ..errors import ConfigurationError
from ..server.gunicorn_app import check_port_is_free
from .command_line import HOST, ServerCommand, vllm_command
from .ending import Ending, StopRequested
from .errors import LaunchError, NothingToRunOn, ServerFailed, VllmMissing
from .gpu import Gpu
from .guard import GUARDS, STREAM_ARCHITECTURE, guard_in_folder
from .hub import Hub
from .machine import available_memory
from .models import downloader, fixed_guard, hub_of
from .options import Outside, UpOptions
from .plan import Plan, Wishes, plan_cpu, plan_gpu
from .process import ChildProcess, adopt_orphans
from .service import checked_settings, free_port, render_service, service_environment, work_folder
from .stream import STREAM_FLAGS, STREAM_GUARDS, StreamUpstream, check_installed, plan_pair_cpu, plan_pair_gpu
from .supervisor import Supervisor
from .up_cpu import up_on_cpu
from .upstream import Upstream

__all__ = ["parts_to_start", "up"]

_TICK_S = 0.1
_DRAIN_S = 10.0
"""On top of the service's own `graceful_timeout_s`: records that wait are written then."""
_WARM_UP_S = 300.0
EXIT_INTERRUPTED = 130
_GEN, _STREAM = "vLLM", "vLLM for Stream"

_CHOICES = """What you can do:
  here, Qwen3Guard 0.6B on the CPU      moderation-service up --cpu
  here, with the embedded engine        moderation-service serve
  with a vLLM that runs elsewhere       moderation-service up --upstream http://HOST:8000"""
_INSTALL = """The program `vllm` is not installed here. To install it:
  {command}
or, when it is in a virtual environment of its own, name it: --vllm /path/to/venv/bin/vllm"""


def up(options: UpOptions, outside: Outside) -> int:
    """Bring everything up, serve until told to stop, and return the exit code. Raises LaunchError."""
    adopt_orphans()
    with Ending() as ending:
        try:
            if options.upstreams:
                return _serve_before_running(options, outside, ending)
            if (why := _why_cpu(options, outside)) is not None:
                return up_on_cpu(options, outside, ending, why=why, choices=_CHOICES)
            return _serve_with_own_vllm(options, outside, ending)
        except StopRequested as stop:
            outside.console.say("Stopped.")
            return EXIT_INTERRUPTED if stop.signal is signal.SIGINT else 0


def _why_cpu(options: UpOptions, outside: Outside) -> str | None:
    """Why the model goes to the CPU, by an engine with an environment of its own; empty: it was asked for."""
    if options.vllm is not None or options.stream:
        # A vLLM of the user's: as on a GPU, it is only started.
        return None
    if options.cpu:
        return ""
    found = outside.detect(outside.environ.get("CUDA_VISIBLE_DEVICES"))
    return None if found.gpus else f"No GPU to run vLLM on. {found.problem}"


def _serve_before_running(options: UpOptions, outside: Outside, ending: Ending) -> int:
    environment = service_environment(outside.environ, options.upstreams, None)
    settings = checked_settings(options, outside, environment)
    if options.dry_run:
        outside.print(render_service(environment, outside.environ, options.service_args))
        return 0
    for url in settings.upstreams:
        upstream = Upstream(url.base, api_key=settings.upstream_api_key)
        with contextlib.closing(upstream):
            deadline = time.monotonic() + options.start_timeout_s
            while not upstream.is_up():
                if time.monotonic() > deadline:
                    raise ServerFailed(f"{upstream.url}/health does not answer with 200.")
                outside.console.progress(f"  waiting for {upstream.url}")
                outside.sleep(_TICK_S)
            name, length = upstream.model()
            name = settings.upstream_model or name
            upstream.warm_up(name, timeout_s=_WARM_UP_S)
        outside.console.say(f"{upstream.url} serves {name}, context {length or 'unknown'}")
    return _supervise((), environment, options.service_args, settings, outside, ending)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One vLLM to start: its plan, where its model is or will be, and where that comes from if it isn't there yet."""

    name: str
    plan: Plan
    model: Path
    hub: Hub | None
    command: ServerCommand

    def upstream(self, api_key: Secret) -> Upstream:
        if self.name == _STREAM:
            return StreamUpstream(self.command.base_url, api_key=api_key, model_dir=self.model)
        return Upstream(self.command.base_url, api_key=api_key)


def _serve_with_own_vllm(options: UpOptions, outside: Outside, ending: Ending) -> int:
    if options.stream and not options.dry_run:
        check_installed()
    ports = [options.vllm_port or free_port(), *([free_port()] if options.stream else ())]
    api_key = Secret(secrets.token_urlsafe(32))
    environment = service_environment(outside.environ, (f"http://{HOST}:{ports[0]}",), api_key)
    settings = checked_settings(options, outside, environment)
    if options.vllm_port is not None and not options.dry_run:
        _check_vllm_port(settings, ports[0])
    parts = parts_to_start(options, outside, ports)
    environment |= _stream_environment(parts, api_key)
    if options.dry_run:
        for part in parts:
            origin = f"from {part.hub.endpoint}, revision {part.hub.revision}" if part.hub else "in a local folder"
            outside.print(f"# {part.plan.describe()}\n# model {origin}\n{part.command.render()}")
        outside.print(render_service(environment, outside.environ, options.service_args))
        return 0
    for part in parts:
        outside.console.say(part.plan.describe())
        if part.hub is not None:
            downloader(options, outside).fetch(part.hub)
        outside.console.say(f"The model is in {part.model}")
    with work_folder() as folder:
        supervisors = [
            Supervisor(
                part.command,
                env=part.command.environment(outside.environ, api_key=api_key),
                log=folder / f"{part.name}.log".lower().replace(" ", "-"),
                upstream=part.upstream(api_key),
                console=outside.console,
                start_timeout_s=options.start_timeout_s,
                name=part.name,
                sleep=outside.sleep,
            )
            for part in parts
        ]
        return _supervise(supervisors, environment, options.service_args, settings, outside, ending)


def parts_to_start(options: UpOptions, outside: Outside, ports: Sequence[int]) -> list[_Part]:
    """Every vLLM that these options ask for, on these ports. Raises LaunchError."""
    gpus = () if options.cpu else _gpus(outside)
    program = _find_vllm(options, outside)
    parts = []
    # The guard first, and Stream behind it where that is asked for: as many ports as plans.
    for name, plan, port in zip((_GEN, _STREAM), _plans(options, outside, gpus), ports, strict=False):
        hub = None if plan.guard.path is not None else hub_of(options, plan.guard.repo)
        model = plan.guard.path or downloader(options, outside).folder(hub_of(options, plan.guard.repo))
        extra = options.vllm_args
        if name == _STREAM:
            extra = (*STREAM_FLAGS, *(("--block-size", "32") if options.cpu else ()))
        command = vllm_command(plan, program=program, model=model, port=port, extra=extra)
        parts.append(_Part(name=name, plan=plan, model=model, hub=hub, command=command))
    return parts


def _stream_environment(parts: Sequence[_Part], api_key: Secret) -> dict[str, str]:
    """What tells the service of a second vLLM."""
    stream = next((part for part in parts if part.name == _STREAM), None)
    if stream is None:
        return {}
    told = {
        "STREAM_UPSTREAM": stream.command.base_url,
        "STREAM_MODEL_DIR": str(stream.model),
        "STREAM_API_KEY": api_key.value,
    }
    return {ENV_PREFIX + name: value for name, value in told.items()}


def _supervise(
    supervisors: Sequence[Supervisor],
    environment: Mapping[str, str],
    service_args: Sequence[str],
    settings: Settings,
    outside: Outside,
    ending: Ending,
) -> int:
    """Start what has to be started, look after it until it ends or we are told to end, and leave nothing behind."""
    service: ChildProcess | None = None
    try:
        for supervisor in supervisors:
            ending.children.append(supervisor)
            supervisor.start()
        argv = (sys.executable, "-m", "moderation_service", "serve", *service_args)
        service = ChildProcess(argv, env=environment, sleep=outside.sleep)
        ending.children.append(service)
        ending.reload = service.reload
        while (code := service.poll()) is None:
            for supervisor in supervisors:
                supervisor.tick()
            outside.sleep(_TICK_S)
        return code if code >= 0 else 1
    finally:
        # From here on a signal can't interrupt, only hurry.
        ending.begin()
        outside.console.say("Stopping the service" + (", then vLLM" if supervisors else ""))
        if service is not None:
            service.stop(grace_s=settings.graceful_timeout_s + _DRAIN_S)
        for supervisor in supervisors:
            supervisor.stop()


def _gpus(outside: Outside) -> tuple[Gpu, ...]:
    found = outside.detect(outside.environ.get("CUDA_VISIBLE_DEVICES"))
    if not found.gpus:
        raise NothingToRunOn(f"No GPU to run vLLM on. {found.problem}\n{_CHOICES}")
    return found.gpus


def _plans(options: UpOptions, outside: Outside, gpus: Sequence[Gpu]) -> list[Plan]:
    """How each vLLM is to be started."""
    guard = fixed_guard(options, outside)
    wishes = Wishes(guard=guard, context=options.context, fraction=options.fraction, memory_gib=options.memory_gib)
    try:
        if options.stream:
            plans = _plan_pair(options, gpus, wishes)
        elif options.cpu:
            plans = [plan_cpu(guard or GUARDS[-1], available_bytes=available_memory(), context=options.context)]
        else:
            plans = [plan_gpu(gpus, wishes)]
    except NothingToRunOn as error:
        raise NothingToRunOn(f"{error}\n{_CHOICES}") from error
    for plan in plans:
        if plan.gpu is not None and plan.gpu.mig_index is not None and not plan.gpu.uuid:
            raise NothingToRunOn(f"{plan.gpu.label}: nvidia-smi does not tell its UUID.\n{_CHOICES}")
    return plans


def _plan_pair(options: UpOptions, gpus: Sequence[Gpu], wishes: Wishes) -> list[Plan]:
    stream = next((one for one in STREAM_GUARDS if one.size == options.stream_size), None)
    if options.stream_model_dir is not None:
        stream = guard_in_folder(options.stream_model_dir, architecture=STREAM_ARCHITECTURE)
    if options.cpu:
        available = available_memory()
        guard = wishes.guard or GUARDS[-1]
        return list(plan_pair_cpu(guard, available_bytes=available, context=options.context, stream=stream))
    return list(plan_pair_gpu(gpus, wishes, stream=stream))


def _find_vllm(options: UpOptions, outside: Outside) -> str:
    """The program; beside our own interpreter first, where the `vllm` extra puts it."""
    path = outside.environ.get("PATH")
    if options.vllm is not None:
        found = shutil.which(options.vllm, path=path)
    else:
        found = shutil.which("vllm", path=str(Path(sys.executable).parent)) or shutil.which("vllm", path=path)
    if found is None and not options.dry_run:
        how = _INSTALL.format(command=install_command("vllm"))
        raise VllmMissing(f"--vllm: {options.vllm} is not a program." if options.vllm else how)
    return found or options.vllm or "vllm"


def _check_vllm_port(settings: Settings, port: int) -> None:
    try:
        check_port_is_free(replace(settings, host=HOST, port=port))
    except ConfigurationError as error:
        raise LaunchError(f"--vllm-port: {port} is in use on {HOST}; leave it out, and a free one is taken.") from error
