"""The click command `bench`: how many verdicts per second this machine gives, and how long each takes."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..config.settings import ENV_PREFIX, Settings
from ..launch.ending import Ending, StopRequested
from ..launch.errors import LaunchError, ServerFailed
from .judging_engine import engine_options, judging_servers
from .report_folder import make_folder, write_whole

if TYPE_CHECKING:
    from ..data.bench.load import Target
    from ..launch.process import ChildProcess
    from ..launch.upstream import Upstream

__all__ = ["bench_command"]

_FILES = ("bench.json", "bench.md", "bench.svg")
_WARM_UP_SHARE = 0.15
_READY_S = 120.0
_MOST_CLIENTS = 1024
_SHOWN_LINES = 10


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to get a verdict."""

    name: str
    target: Target
    learned: Callable[[], Mapping[str, object]] = dict
    """What can be said of it once it was measured."""


def _clients(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    words = [word.strip() for word in value.split(",")]
    if not all(word.isdigit() and 0 < int(word) <= _MOST_CLIENTS for word in words):
        raise click.BadParameter(f"must be numbers from 1 to {_MOST_CLIENTS}, separated by commas.")
    return tuple(sorted({int(word) for word in words}))


@click.command("bench")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the results."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.2, 300),
    default=15.0,
    show_default=True,
    help="How long each way is measured with each number of clients.",
)
@click.option(
    "--clients", default="1,8,32,128", show_default=True, callback=_clients, help="How many ask at the same time."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), help="Worker processes of the service.  [default: a quarter of the cores]"
)
@engine_options
def bench_command(output: Path, seconds: float, clients: tuple[int, ...], workers: int | None, **given: Any) -> None:
    """Measure verdicts per second and latencies, and write them to a folder that can be sent on.

    Measured, one after the other: the model server asked by hand (`plain`), and this service in front of it (`full`,
    `severity`, and `cascade` or `stream` where the settings have them). Without a setting a vLLM is started on this
    machine's GPU, as `up` does. Every question is new; nothing comes from a cache of verdicts. Of the settings, those
    that tell others of decisions do not hold: no database, no webhook for them, the audit file is a passing one.

    A model server behind https is measured through this service only.

    The results name the machine's parts and the model, and neither host nor address nor key.

    Exit code: 0 measured, 1 failed or no verdict was had, 2 wrong usage, 143 stopped by SIGTERM, 130 by Ctrl-C.
    """
    make_folder(output)
    with Ending() as ending:
        try:
            document = _measure(given, seconds, clients, workers or max(1, (os.cpu_count() or 1) // 4), ending)
        except StopRequested as stop:
            sys.exit(128 + stop.signal)
        except LaunchError as error:
            click.echo(f"moderation-service: {error}", err=True)
            sys.exit(error.exit_code)
    _write(document, output)
    click.echo("\n".join(str(output / name) for name in _FILES))
    if not any(point["verdicts"] for point in document["points"]):
        click.echo("moderation-service: no verdict was had; the errors are in the results.", err=True)
        sys.exit(1)


def _measure(
    given: dict[str, Any], seconds: float, clients: Sequence[int], workers: int, ending: Ending
) -> dict[str, Any]:
    from ..data.bench.load import run_load
    from ..data.bench.report import point
    from ..launch.progress import Console

    console = Console()
    config = given["config_file"]
    points, asked = [], 0
    with contextlib.ExitStack() as stack:
        settings = stack.enter_context(judging_servers(given, ending=ending))
        facts = _facts(settings, workers)
        for way in stack.enter_context(_ways(settings, config, max(clients), workers, ending)):
            for number in clients:
                console.progress(f"  {way.name}, {number} clients")
                warm_up_s = max(0.2, seconds * _WARM_UP_SHARE)
                measured = run_load(way.target, clients=number, seconds=seconds, warm_up_s=warm_up_s, first=asked)
                # Numbers are never used twice: far more than a server answers in that time.
                asked += 10_000_000
                points.append(point(way.name, number, measured))
                console.say(f"  {way.name:9} {number:4} clients  {measured.per_second:8.1f} verdicts/s")
            facts |= way.learned()
    return {"facts": facts, "points": points}


@contextlib.contextmanager
def _ways(
    settings: Settings, config: Path | None, clients: int, workers: int, ending: Ending
) -> Iterator[Iterator[_Way]]:
    """What is to be measured, with the services that it needs running."""
    with contextlib.ExitStack() as stack:

        def ways() -> Iterator[_Way]:
            if settings.engine in ("vllm", "cascade"):
                # The load speaks no TLS, and a key must not go in the clear.
                if not settings.upstreams[0].startswith("https:"):
                    yield _plain(settings)
                url, key = stack.enter_context(_service(settings, "vllm", config, clients, workers, ending))
                yield _Way("full", _moderate(url, key))
                yield _Way("severity", _moderate(url, key, detail="severity"))
            if settings.engine in ("cascade", "lite"):
                url, key = stack.enter_context(_service(settings, settings.engine, config, clients, workers, ending))
                learned = functools.partial(_sent_up, url, key) if settings.engine == "cascade" else dict
                yield _Way(settings.engine, _moderate(url, key), learned)
            if settings.stream_upstream is not None:
                url, key = stack.enter_context(_service(settings, "stream", config, clients, workers, ending))
                yield _Way("stream", _moderate(url, key))

        yield ways()


def _plain(settings: Settings) -> _Way:
    """The call of the model's own documentation."""
    from ..data.bench.load import Target
    from ..data.bench.questions import question

    upstream = _upstream(settings)
    with contextlib.closing(upstream):
        model = settings.upstream_model or upstream.model()[0]

    def body(number: int) -> bytes:
        asked = {"model": model, "messages": [{"role": "user", "content": question(number)}], "temperature": 0}
        return json.dumps(asked).encode()

    key = settings.upstream_api_key
    headers = {"Authorization": f"Bearer {key.value}"} if key is not None else {}
    return _Way("plain", Target(upstream.url, "/v1/chat/completions", body, headers))


def _moderate(url: str, key: str, **more: str) -> Target:
    from ..data.bench.load import Target
    from ..data.bench.questions import question

    def body(number: int) -> bytes:
        return json.dumps({"prompt": question(number), **more}).encode()

    return Target(url, "/moderate", body, {"Authorization": f"Bearer {key}"})


@contextlib.contextmanager
def _service(
    settings: Settings, engine: str, config: Path | None, clients: int, workers: int, ending: Ending
) -> Iterator[tuple[str, str]]:
    """A service with this engine, for as long as the block lasts: its address and a key."""
    from ..launch.process import ChildProcess
    from ..launch.service import free_port

    port, key = free_port(), secrets.token_urlsafe(24)
    told = {
        **_told(settings),
        "ENGINE": engine,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "API_KEYS": f"bench:{key}",
        "WORKERS": str(workers),
        "THREADS": str(max(32, clients)),
        "UPSTREAM_CONCURRENCY": str(max(64, clients)),
        "CACHE_SIZE": "0",
        "LOG_LEVEL": "warning",
        # What is made up here must reach no records, no people and no other gateway.
        "STORE": "off",
        "CONSOLE": "off",
        "WEBHOOK_EVENTS": "appeal",
        "CLUSTER_PREFIX": f"moderation-bench-{secrets.token_hex(4)}",
    }
    words = ("--config", str(config)) if config is not None else ()
    with tempfile.TemporaryDirectory(prefix="moderation-bench-") as folder:
        log = Path(folder) / "service.log"
        if settings.audit_file is not None:
            told["AUDIT_FILE"] = str(Path(folder) / "audit.jsonl")
        env = {**os.environ, **{ENV_PREFIX + name: value for name, value in told.items()}}
        child = ChildProcess((sys.executable, "-m", "moderation_service", "serve", *words), env=env, log=log)
        ending.children.append(child)
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}", child, log)
            yield f"http://127.0.0.1:{port}", key
        finally:
            child.stop(grace_s=15.0)


def _told(settings: Settings) -> dict[str, str]:
    """What flags, or a vLLM of our own, say beyond the file and the environment, which a service reads itself."""
    told: dict[str, object] = {
        "UPSTREAMS": ",".join(settings.upstreams),
        "UPSTREAM_MODEL": settings.upstream_model,
        "UPSTREAM_DIALECT": settings.upstream_dialect,
        "UPSTREAM_CONTEXT_TOKENS": settings.upstream_context_tokens,
        "UPSTREAM_TIMEOUT_S": settings.upstream_timeout_s,
        "DEADLINE_S": max(settings.deadline_s, settings.upstream_timeout_s),
        "STREAM_UPSTREAM": settings.stream_upstream,
        "STREAM_MODEL_DIR": settings.stream_model_dir,
    }
    if settings.upstream_api_key is not None:
        told["UPSTREAM_API_KEY"] = settings.upstream_api_key.value
    return {name: str(value) for name, value in told.items() if value is not None}


def _wait_until_ready(url: str, child: ChildProcess, log: Path) -> None:
    import requests

    from ..launch.process import tail

    deadline = time.monotonic() + _READY_S
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < deadline and child.poll() is None:
            with contextlib.suppress(requests.RequestException):
                if session.get(f"{url}/readyz", timeout=10).status_code == 200:
                    return
            time.sleep(0.1)
    shown = "".join(f"\n  | {line}" for line in tail(log, lines=_SHOWN_LINES))
    raise ServerFailed(f"The service that was to be measured does not get ready. Its last lines:{shown}")


def _sent_up(url: str, key: str) -> Mapping[str, object]:
    """The share of the questions that a cascade's small model did not decide, as the service has counted it."""
    import requests
    from prometheus_client.parser import text_string_to_metric_families

    with requests.Session() as session:
        session.trust_env = False
        try:
            text = session.get(f"{url}/metrics", headers={"Authorization": f"Bearer {key}"}, timeout=10).text
        except requests.RequestException:
            return {}
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    up = sum(one.value for one in samples if one.name == "moderation_cascade_up_total")
    by_small = sum(
        one.value
        for one in samples
        if one.name == "moderation_cascade_decisions_total" and one.labels["decided_by"] == "small"
    )
    return {"sent up by the cascade": f"{up / (up + by_small):.1%} of these questions"} if up + by_small else {}


def _upstream(settings: Settings) -> Upstream:
    from ..launch.upstream import Upstream

    return Upstream(settings.upstreams[0].base, api_key=settings.upstream_api_key)


def _small_model(settings: Settings) -> Mapping[str, object]:
    """The model of a cascade that is asked first."""
    from ..launch.upstream import Upstream

    first = settings.small_upstreams[0]
    with contextlib.closing(Upstream(first.base, api_key=settings.small_upstream_api_key)) as upstream:
        model = settings.small_upstream_model or upstream.model()[0]
    return {"small model": model, "small model servers": len(settings.small_upstreams)}


def _facts(settings: Settings, workers: int) -> dict[str, object]:
    """The machine and the model, without a name or an address that is somebody's."""
    from ..data.bench.machine import machine_facts
    from ..launch.gpu import find_gpus

    facts: dict[str, object] = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    facts |= {"service": __version__, "engine": settings.engine}
    if settings.engine in ("vllm", "cascade"):
        with contextlib.closing(_upstream(settings)) as upstream:
            model, context = upstream.model()
            facts |= {"model": model, "context": context, "model servers": len(settings.upstreams)}
            facts["model server"] = upstream.version() or "does not tell its version"
    if settings.engine == "cascade":
        facts |= _small_model(settings)
    found = find_gpus(visible=os.environ.get("CUDA_VISIBLE_DEVICES")).gpus
    named = [f"{gpu.name}, {gpu.total_gib:.0f} GiB" + _capability(gpu.capability) for gpu in found]
    facts["GPUs here"] = "; ".join(named) or "none"
    facts |= {**machine_facts(), "workers": workers, "Python": platform.python_version()}
    return {name: value for name, value in facts.items() if value is not None}


def _capability(capability: tuple[int, int] | None) -> str:
    return "" if capability is None else ", compute capability {}.{}".format(*capability)


def _write(document: Mapping[str, Any], folder: Path) -> None:
    from ..data.bench.report import render_markdown, render_picture

    made = (json.dumps(document, indent=1) + "\n", render_markdown(document), render_picture(document))
    for name, text in zip(_FILES, made, strict=True):
        write_whole(folder / name, text)
