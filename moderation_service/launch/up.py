"""The whole flow of `moderation-service up`: plan, download, start vLLM, warm it up, serve, end everything."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..config.extras import install_command
from ..config.settings import ENV_PREFIX, Secret, Settings
from ..errors import ConfigurationError
from ..server.gunicorn_app import check_port_is_free
from ..server.run_folder import make_run_folder, remove_leftovers
from ..web.api_keys import check_exposure, load_api_keys
from .command_line import HOST, ServerCommand, vllm_command
from .download import Downloader, default_cache
from .ending import Ending, StopRequested
from .errors import LaunchError, NothingToRunOn, ServerFailed, VllmMissing
from .gpu import Detection, Gpu, find_gpus
from .guard import GUARDS, STREAM_ARCHITECTURE, Guard, guard_in_folder
from .hub import Hub, Source
from .plan import Plan, Wishes, plan_cpu, plan_gpu
from .process import ChildProcess, adopt_orphans
from .progress import Console
from .stream import STREAM_FLAGS, STREAM_GUARDS, StreamUpstream, check_installed, plan_pair_cpu, plan_pair_gpu
from .supervisor import Supervisor
from .upstream import Upstream, api_root

__all__ = ["Outside", "UpOptions", "downloader", "free_port", "parts_to_start", "up", "work_folder"]

_TICK_S = 0.1
_DRAIN_S = 10.0
"""On top of the service's own `graceful_timeout_s`: records that wait are written then."""
_WARM_UP_S = 300.0
EXIT_INTERRUPTED = 130
_WORK_PREFIX = "moderation-up-"
_GEN, _STREAM = "vLLM", "vLLM for Stream"

_CHOICES = """What you can do:
  here, with the embedded engine        moderation-service serve
  here, vLLM on the CPU (0.6B, slow)    moderation-service up --cpu
  with a vLLM that runs elsewhere       moderation-service up --upstream http://HOST:8000"""
_INSTALL = """The program `vllm` is not installed here. To install it:
  {command}
or, when it is in a virtual environment of its own, name it: --vllm /path/to/venv/bin/vllm"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the user asked for; None is left to the plan."""

    size: str | None = None
    model: str | None = None
    model_dir: Path | None = None
    source: Source = Source.HUGGINGFACE
    revision: str | None = None
    endpoint: str | None = None
    token: Secret | None = None
    cache_dir: Path | None = None
    context: int | None = None
    fraction: float | None = None
    memory_gib: float | None = None
    cpu: bool = False
    stream: bool = False
    stream_size: str | None = None
    stream_model_dir: Path | None = None
    vllm: str | None = None
    vllm_port: int | None = None
    vllm_args: tuple[str, ...] = ()
    start_timeout_s: float = 900.0
    upstreams: tuple[str, ...] = ()
    dry_run: bool = False
    service_args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The world around `up`, for tests."""

    environ: Mapping[str, str]
    console: Console
    settings: Callable[[Mapping[str, str]], Settings]
    """The service's settings, from an environment and the options for `serve`."""
    print: Callable[[str], None]
    detect: Callable[[str | None], Detection] = lambda visible: find_gpus(visible=visible)
    sleep: Callable[[float], None] = time.sleep


def up(options: UpOptions, outside: Outside) -> int:
    """Bring everything up, serve until told to stop, and return the exit code. Raises LaunchError."""
    adopt_orphans()
    with Ending() as ending:
        try:
            if options.upstreams:
                return _serve_before_running(options, outside, ending)
            return _serve_with_own_vllm(options, outside, ending)
        except StopRequested as stop:
            outside.console.say("Stopped.")
            return EXIT_INTERRUPTED if stop.signal is signal.SIGINT else 0


def _serve_before_running(options: UpOptions, outside: Outside, ending: Ending) -> int:
    environment = _service_environment(outside.environ, options.upstreams, None)
    settings = _checked_settings(options, outside, environment)
    if options.dry_run:
        outside.print(_render_service(environment, outside.environ, options.service_args))
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
    environment = _service_environment(outside.environ, (f"http://{HOST}:{ports[0]}",), api_key)
    settings = _checked_settings(options, outside, environment)
    if options.vllm_port is not None and not options.dry_run:
        _check_vllm_port(settings, ports[0])
    parts = parts_to_start(options, outside, ports)
    environment |= _stream_environment(parts, api_key)
    if options.dry_run:
        for part in parts:
            origin = f"from {part.hub.endpoint}, revision {part.hub.revision}" if part.hub else "in a local folder"
            outside.print(f"# {part.plan.describe()}\n# model {origin}\n{part.command.render()}")
        outside.print(_render_service(environment, outside.environ, options.service_args))
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
    for number, plan in enumerate(_plans(options, outside, gpus)):
        hub = None if plan.guard.path is not None else _hub(options, plan.guard.repo)
        model = plan.guard.path or downloader(options, outside).folder(_hub(options, plan.guard.repo))
        extra = (*STREAM_FLAGS, *(("--block-size", "32") if options.cpu else ())) if number else options.vllm_args
        command = vllm_command(plan, program=program, model=model, port=ports[number], extra=extra)
        parts.append(_Part(name=_STREAM if number else _GEN, plan=plan, model=model, hub=hub, command=command))
    return parts


def _stream_environment(parts: Sequence[_Part], api_key: Secret) -> dict[str, str]:
    """What tells the service of a second vLLM."""
    told: dict[str, str] = {}
    for part in parts[1:]:
        told = {
            "STREAM_UPSTREAM": part.command.base_url,
            "STREAM_MODEL_DIR": str(part.model),
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
    guard = _fixed_guard(options, outside)
    wishes = Wishes(guard=guard, context=options.context, fraction=options.fraction, memory_gib=options.memory_gib)
    try:
        if options.stream:
            plans = _plan_pair(options, gpus, wishes)
        elif options.cpu:
            plans = [plan_cpu(guard or GUARDS[-1], available_bytes=_available_memory(), context=options.context)]
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
        available = _available_memory()
        guard = wishes.guard or GUARDS[-1]
        return list(plan_pair_cpu(guard, available_bytes=available, context=options.context, stream=stream))
    return list(plan_pair_gpu(gpus, wishes, stream=stream))


def _fixed_guard(options: UpOptions, outside: Outside) -> Guard | None:
    """The model the user named; None leaves it to the plan."""
    if options.model_dir is not None:
        return guard_in_folder(options.model_dir)
    known = {guard.size: guard for guard in GUARDS}
    if options.model is None:
        return known[options.size] if options.size else None
    for guard in GUARDS:
        if guard.repo == options.model:
            return guard
    if options.size is not None:
        return replace(known[options.size], repo=options.model)
    # An unknown model, perhaps a fine-tuned one: its files say what it needs.
    if options.dry_run:
        raise LaunchError(f"--model {options.model} is not known here; say with --size which one it is derived from.")
    folder = downloader(options, outside).fetch(_hub(options, options.model))
    return replace(guard_in_folder(folder), repo=options.model)


def _hub(options: UpOptions, repo: str) -> Hub:
    return Hub(
        source=options.source,
        repo=repo,
        revision=options.revision or options.source.default_revision,
        endpoint=options.endpoint or options.source.endpoint,
        token=options.token,
    )


def downloader(options: UpOptions, outside: Outside) -> Downloader:
    """What fetches models into the cache."""
    cache = options.cache_dir or default_cache(outside.environ)
    return Downloader(cache=cache, console=outside.console, sleep=outside.sleep)


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


def _service_environment(
    environ: Mapping[str, str], upstreams: Sequence[str], api_key: Secret | None
) -> dict[str, str]:
    """Ours, and what tells the service where the model server is; no flag, because a key is in it."""
    told = {"ENGINE": "vllm", "UPSTREAMS": ",".join(map(api_root, upstreams))}
    if api_key is not None:
        told["UPSTREAM_API_KEY"] = api_key.value
    return {**environ, **{ENV_PREFIX + name: value for name, value in told.items()}}


def _render_service(environment: Mapping[str, str], base: Mapping[str, str], service_args: Sequence[str]) -> str:
    words = []
    for name, value in environment.items():
        if value != base.get(name):
            words.append(f"{name}=" + ("<random>" if name.endswith("_KEY") else shlex.quote(value)))
    return " ".join([*words, shlex.join(("moderation-service", "serve", *service_args))])


def _checked_settings(options: UpOptions, outside: Outside, environment: Mapping[str, str]) -> Settings:
    """What the service will run with; a mistake in it shows now, and not after the download."""
    settings = outside.settings(environment)
    if settings.engine != "vllm" or ",".join(settings.upstreams) != environment[ENV_PREFIX + "UPSTREAMS"]:
        raise LaunchError(
            "The settings engine and upstreams are made by `up` itself; leave them out of the options for serve."
        )
    check_exposure(settings, load_api_keys(settings))
    if not options.dry_run:
        check_port_is_free(settings)
    return settings


def _check_vllm_port(settings: Settings, port: int) -> None:
    try:
        check_port_is_free(replace(settings, host=HOST, port=port))
    except ConfigurationError as error:
        raise LaunchError(f"--vllm-port: {port} is in use on {HOST}; leave it out, and a free one is taken.") from error


def free_port() -> int:
    """A port on the loopback interface that nobody has."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _available_memory() -> int:
    """What Linux says can be had without swapping; where it says nothing, no limit is known."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return sys.maxsize


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
