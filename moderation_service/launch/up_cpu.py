"""`up` on a machine without a GPU: the plan, the question, the steps behind a service that already answers with `lite`.

The steps run in a process of their own, `up --prepare-only`, so that a signal, a kill or a full disk meets them
wherever they are, and the service goes on meanwhile.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config.settings import ENV_PREFIX, Secret, Settings
from .command_line import HOST
from .cpu_engines import CPU_ENGINES
from .cpu_plan import CpuPlan, plan_on_cpu
from .cpu_timing import timing_lines
from .ending import Ending, StopRequested
from .errors import NothingToRunOn, ServerFailed
from .guard import GUARDS
from .models import downloader, fixed_guard, hub_of
from .options import Outside, UpOptions
from .preparation import Preparation
from .process import ChildProcess
from .service import checked_settings, free_port, render_service, service_environment, work_folder
from .supervisor import Supervisor
from .upstream import Upstream

__all__ = ["up_on_cpu"]

_TICK_S = 0.1
_DRAIN_S = 5.0
"""On top of the service's own `graceful_timeout_s`."""
_STOP_S = 10.0
_NOT_ASKED = """Nobody is here to be asked. `moderation-service up --cpu --yes` does what the plan says.
{choices}"""


def up_on_cpu(options: UpOptions, outside: Outside, ending: Ending, *, why: str, choices: str) -> int:
    """Do what the options ask for, on the CPU, and return the exit code. Raises LaunchError.

    `why` says why not on a GPU, and is empty where the CPU was asked for; `choices` is what else can be done.
    """
    if options.vllm_args or options.fraction is not None or options.memory_gib is not None:
        raise NothingToRunOn(f"{why}\n{choices}")  # What was asked for has a meaning on a GPU only.
    preparation = _preparation(options, outside)
    plan = _plan(options, outside, preparation)
    port = options.vllm_port or free_port()
    api_key = Secret(secrets.token_urlsafe(32))
    environment, settings = _service(options, outside, plan, port, api_key)
    if options.dry_run:
        _show(options, outside, preparation, plan, port, environment)
        return 0
    if not options.quiet:
        for line in [*([why] if why else []), *plan.lines()]:
            outside.console.say(line)
    if not (options.yes or (options.cpu and plan.missing.is_nothing)):
        if outside.ask is None:
            raise NothingToRunOn(_NOT_ASKED.format(choices=choices))
        if not outside.ask("Go ahead?"):
            return 1
    if options.prepare_only:
        try:
            served = preparation.run()
        except StopRequested as stop:
            return 128 + stop.signal  # Elsewhere a stop is a good end; here something is missing.
        if not options.quiet:
            outside.print(str(served))
        return 0
    with work_folder() as folder:
        run = _Run(options, outside, ending, preparation, plan, port, api_key, folder)
        return run.serve(environment, settings)


def _preparation(options: UpOptions, outside: Outside) -> Preparation:
    engine = CPU_ENGINES[options.cpu_engine or next(iter(CPU_ENGINES))]
    guard = fixed_guard(options, outside) or GUARDS[-1]
    return Preparation(
        engine=engine,
        lock=options.engine_lock or engine.lock,
        guard=guard,
        hub=None if guard.path is not None else hub_of(options, guard.repo),
        downloader=downloader(options, outside),
        environ=outside.environ,
        drop_source=options.drop_source,
    )


def _plan(options: UpOptions, outside: Outside, preparation: Preparation) -> CpuPlan:
    cache = preparation.downloader.cache
    nearest = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return plan_on_cpu(
        preparation.engine,
        preparation.guard,
        outside.machine(),
        missing=preparation.missing(),
        origin=preparation.hub.endpoint if preparation.hub else str(preparation.model),
        cache=cache,
        free_bytes=shutil.disk_usage(nearest).free,
        context=options.context,
    )


def _service(
    options: UpOptions, outside: Outside, plan: CpuPlan, port: int, api_key: Secret
) -> tuple[dict[str, str], Settings]:
    """The service's environment and settings; a mistake in them shows before anything is fetched."""
    environment = service_environment(outside.environ, (f"http://{HOST}:{port}",), api_key)
    environment[f"{ENV_PREFIX}UPSTREAM_DIALECT"] = plan.engine.dialect
    default, given = Settings(), outside.settings(environment)
    for name, value in plan.timeouts().items():
        if getattr(given, name.lower()) == getattr(default, name.lower()):
            environment[ENV_PREFIX + name] = value
    if options.prepare_only:
        return environment, given
    return environment, checked_settings(options, outside, environment)


def _show(
    options: UpOptions,
    outside: Outside,
    preparation: Preparation,
    plan: CpuPlan,
    port: int,
    environment: Mapping[str, str],
) -> None:
    """What would be done, as text."""
    python = preparation.environment.python
    served = preparation.served() or Path(f"<cache>/converted/MODEL{preparation.engine.suffix}")
    for line in plan.lines():
        outside.print(f"# {line}")
    command = preparation.engine.command(python, served, port=port, guard=plan.guard, load=plan.load)
    outside.print(command.render())
    outside.print(render_service(environment, outside.environ, options.service_args))


@dataclass(slots=True)
class _Run:
    """One run: the service from the beginning, the steps, and then the model server behind it."""

    options: UpOptions
    outside: Outside
    ending: Ending
    preparation: Preparation
    plan: CpuPlan
    port: int
    api_key: Secret
    folder: Path
    _steps: ChildProcess | None = None
    _supervisor: Supervisor | None = None
    _is_timed: bool = False

    def serve(self, environment: Mapping[str, str], settings: Settings) -> int:
        """Until the service ends, or we are told to end, or the guard can't be had."""
        argv = (sys.executable, "-m", "moderation_service", "serve", *self.options.service_args)
        service = ChildProcess(argv, env=environment, sleep=self.outside.sleep)
        try:
            self.ending.children.append(service)
            self.ending.reload = service.reload
            if not self.plan.missing.is_nothing:
                self._steps = self._start_steps()
                self.ending.children.append(self._steps)
            while (code := service.poll()) is None:
                if (failed := self._tick()) is not None:
                    return failed
                self.outside.sleep(_TICK_S)
            return code if code >= 0 else 1
        finally:
            # From here on a signal can't interrupt, only hurry.
            self.ending.begin()
            self.outside.console.say(f"Stopping the service, then {self.plan.engine.title}")
            if self._steps is not None:
                self._steps.stop(grace_s=_STOP_S)
            service.stop(grace_s=settings.graceful_timeout_s + _DRAIN_S)
            if self._supervisor is not None:
                self._supervisor.stop()

    def _tick(self) -> int | None:
        """Look after what is under way; the exit code when it can't go on. Raises ServerFailed."""
        if self._steps is not None:
            code = self._steps.poll()
            if code is None:
                return None
            self._steps.kill(leader_ended=True)
            self._steps = None
            if code != 0:
                return code if code > 0 else 1
        if self._supervisor is None:
            self._supervisor = self._new_supervisor()
            self.ending.children.append(self._supervisor)
            self._supervisor.announce()
        self._supervisor.tick()
        if self._supervisor.is_ready and not self._is_timed:
            self._is_timed = True
            self._tell_timing()
        return None

    def _start_steps(self) -> ChildProcess:
        argv = (sys.executable, "-m", "moderation_service", "up", *_preparing_words(self.options))
        return ChildProcess(argv, env=self.outside.environ, sleep=self.outside.sleep)

    def _new_supervisor(self) -> Supervisor:
        preparation, plan = self.preparation, self.plan
        served = preparation.served()
        if served is None:
            raise ServerFailed("The model was removed from the cache while it was prepared; the same command goes on.")
        python = preparation.environment.python
        command = preparation.engine.command(python, served, port=self.port, guard=plan.guard, load=plan.load)
        return Supervisor(
            command,
            env=command.environment(self.outside.environ, api_key=self.api_key),
            log=self.folder / f"{plan.engine.name}.log",
            upstream=Upstream(command.base_url, api_key=self.api_key),
            console=self.outside.console,
            start_timeout_s=self.options.start_timeout_s,
            name=plan.engine.title,
            sleep=self.outside.sleep,
        )

    def _tell_timing(self) -> None:
        upstream = Upstream(f"http://{HOST}:{self.port}", api_key=self.api_key)
        try:
            lines = timing_lines(
                upstream, self.plan.guard.repo, title=self.plan.engine.title, threads=self.plan.load.threads
            )
        except ServerFailed as error:
            lines = [f"It could not be timed: {error}"]
        finally:
            upstream.close()
        for line in lines:
            self.outside.console.say(line)


def _preparing_words(options: UpOptions) -> list[str]:
    """The options for a process that does the steps and ends; the hub's token is in the environment."""
    given: dict[str, object] = {
        "--size": options.size,
        "--model": options.model,
        "--model-dir": options.model_dir,
        "--source": options.source.value,
        "--revision": options.revision,
        "--hub-endpoint": options.endpoint,
        "--cache-dir": options.cache_dir,
        "--max-model-len": options.context,
        "--cpu-engine": options.cpu_engine,
        "--engine-lock": options.engine_lock,
    }
    words = ["--cpu", "--yes", "--prepare-only", "--quiet", *(["--drop-source"] if options.drop_source else [])]
    for name, value in given.items():
        if value is not None:
            words += [name, str(value)]
    return words
