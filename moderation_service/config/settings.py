"""Every setting of the service: declared once, with its type, default, unit and what it does at the extremes.

Precedence: the YAML file < environment (`MODERATION_` + the name in capitals) < command-line flags. The help of the
command line, `docs/configuration.md` and `config show` are made from these declarations. Nothing else in the
package reads settings from the environment.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from .audit_settings import AuditSettings
from .cascade_settings import CascadeSettings
from .chat_settings import ChatSettings
from .cluster_settings import ClusterSettings
from .console_settings import ConsoleSettings
from .list_settings import ListSettings
from .review_settings import ReviewSettings
from .setting import ENV_PREFIX, Secret, ServersUrl, Setting, Url
from .setting import declare as _declare
from .settings_file import read_settings_file
from .store_settings import StoreSettings
from .stream_settings import StreamSettings
from .webhook_settings import WebhookSettings

__all__ = [
    "ENGINES",
    "ENV_PREFIX",
    "Loaded",
    "Secret",
    "ServersUrl",
    "Setting",
    "Settings",
    "Source",
    "Url",
    "declarations",
    "load_settings",
]

ENGINES = ("lite", "vllm", "stream", "cascade")
UPSTREAM_DIALECTS = ("auto", "vllm", "sglang", "llamacpp", "ollama", "openai")
_LOG_LEVELS = ("debug", "info", "warning", "error")


class Source(enum.Enum):
    """Where the effective value of a setting comes from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, kw_only=True)
class Settings(
    StoreSettings,
    ConsoleSettings,
    ReviewSettings,
    WebhookSettings,
    StreamSettings,
    ChatSettings,
    ListSettings,
    CascadeSettings,
    ClusterSettings,
    AuditSettings,
):
    """The effective settings of one service; immutable. What belongs to one door only is declared in a base class."""

    host: str = _declare(
        "127.0.0.1",
        "Server",
        "Address to listen on. On anything but a loopback address the service refuses to start without API keys, "
        "unless `allow_open` says otherwise.",
    )
    port: int = _declare(8787, "Server", "Port to listen on.", minimum=1, maximum=65535)
    workers: int = _declare(
        2,
        "Server",
        "Worker processes. Each core that shall judge needs one; more than cores only costs memory. Memory of the "
        "embedded engine is shared between them.",
        minimum=1,
        maximum=256,
    )
    threads: int = _declare(
        64,
        "Server",
        "Requests that one worker answers at the same time; four times as many may wait for half a second, then they "
        "get 429. Too low: requests wait although the engine is idle (needed = request rate x latency / workers). More "
        "than `upstream_concurrency` only make sense for guarded chats; with the embedded engine they share one core.",
        minimum=1,
        maximum=1024,
    )
    keep_alive_s: int = _declare(
        30,
        "Server",
        "How long an idle client connection is kept open. A whole request has to arrive within three times as long.",
        unit="seconds",
        minimum=1,
        maximum=3600,
    )
    graceful_timeout_s: int = _declare(
        10,
        "Server",
        "After SIGTERM, how long requests in flight may take before they are cut. Ctrl-C cuts them after a second.",
        unit="seconds",
        minimum=1,
        maximum=600,
    )
    body_memory_bytes: int = _declare(
        64 * 1024 * 1024,
        "Server",
        "Memory of one worker for large request bodies that are still on their way; beyond it 429. Too low: large "
        "requests on slow lines are refused. Too high: many of them at once can use up the machine's memory.",
        unit="bytes",
        minimum=1024,
        maximum=64 * 1024 * 1024 * 1024,
    )
    pages: bool = _declare(True, "Server", "Serve the page at `/` for trying texts, and the API reference at `/docs`.")
    api_keys: tuple[Secret, ...] = _declare(
        (),
        "Access",
        "Keys that callers may use, each 8 characters or longer: `key`, `name:key` (the name appears in logs), or "
        "`name:sha256:<64 hex digits>` so that no key is written down. A list in the file, separated by commas in "
        "the environment. None means that every caller is served.",
    )
    api_keys_file: Path | None = _declare(
        None, "Access", "File with one key per line, in the same form; `#` begins a comment. Adds to `api_keys`."
    )
    apps_file: Path | None = _declare(
        None,
        "Access",
        "YAML file with apps: which keys belong to one, which policies and doors it may use, and how many requests it "
        "may make; see docs/apps.md. A mistake in it stops the start.",
    )
    limits_store: Secret | None = _declare(
        None,
        "Access",
        "Address of a Valkey or Redis server, such as `redis://:password@valkey:6379/0`, in which several pods count "
        "the requests of apps together; it needs the extra `redis`. Otherwise the workers of one pod count together. "
        "While the server is away, each pod counts for itself.",
    )
    allow_open: bool = _declare(
        False, "Access", "Start without API keys on an address that other machines can reach. Never on a public one."
    )
    allowed_hosts: tuple[str, ...] = _declare(
        (),
        "Access",
        "Names by which a service without API keys on a loopback address may be asked, besides loopback's own and "
        "`host.docker.internal`; `*` allows all. Others get 403: a web page can let its name point to this machine.",
    )
    open_metrics: bool = _declare(
        False, "Access", "Serve `/metrics` without a key even when API keys are set, for scrapers that have none."
    )
    engine: str = _declare(
        "lite",
        "Judging",
        "Who judges: `lite`, the embedded CPU engine; `vllm`, Qwen3Guard-Gen on the servers of `upstreams`; "
        "`cascade`, a small one of `small_upstreams` what it is sure of, and that of `upstreams` the rest; or "
        "`stream`, Qwen3Guard-Stream on the server of `stream_upstream`.",
        choices=ENGINES,
    )
    default_policy: str = _declare("balanced", "Judging", "The policy for requests that name none.")
    policies_file: Path | None = _declare(
        None, "Judging", "YAML file with policies of your own; see docs/policies.md. A mistake in it stops the start."
    )
    deadline_s: float = _declare(
        30.0,
        "Judging",
        "Time for the verdicts of one request. Too low: slow verdicts turn into failures, which the policy's "
        "`on_failure` decides. Too high: callers wait for an engine that hangs.",
        unit="seconds",
        minimum=0.05,
        maximum=600,
    )
    upstreams: tuple[ServersUrl, ...] = _declare(
        (ServersUrl("http://127.0.0.1:8000"),),
        "Model servers",
        "Base addresses of the servers that run Qwen3Guard-Gen, for `engine: vllm`; a `/v1` at the end is left out. "
        "All must serve the same model. With several, each request goes to the least busy one, and a failing one is "
        "left out until it answers again. `http://name:8000?resolve=all` stands for a server at each address that "
        "the name has, looked up again every few seconds: a headless Service of Kubernetes, for example.",
    )
    upstream_api_key: Secret | None = _declare(
        None, "Model servers", "The key that the servers ask for (vLLM's `--api-key`), sent as a bearer token."
    )
    upstream_model: str | None = _declare(
        None,
        "Model servers",
        "The model's name on the servers. Needed only where a server has several models and not just one of them has "
        '"guard" in its name; otherwise the server is asked.',
    )
    upstream_dialect: str = _declare(
        "auto",
        "Model servers",
        "What kind of server it is; `auto` asks it. `openai` is any other server of that API: then nothing beyond the "
        "plain API is used, and long texts need `upstream_context_tokens`. See docs/engines.md.",
        choices=UPSTREAM_DIALECTS,
    )
    upstream_context_tokens: int | None = _declare(
        None,
        "Model servers",
        "The model's context length, where the server does not tell it (Ollama); without it, 4096 is assumed there. "
        "Too low: long texts are judged in more pieces than needed. Too high: a server that cuts long prompts does so "
        "unseen.",
        unit="tokens",
        minimum=512,
        maximum=10_000_000,
    )
    upstream_concurrency: int = _declare(
        64,
        "Model servers",
        "Most verdict calls that one worker has under way; a request beyond it is refused with 429 at once. Too low: "
        "refusals although the servers are idle. Too high: requests queue in the servers and miss their deadline.",
        unit="calls",
        minimum=1,
        maximum=4096,
    )
    upstream_fanout: int = _declare(
        8,
        "Model servers",
        "Most calls that one request has under way: the items of a batch, the windows of a long text.",
        unit="calls",
        minimum=1,
        maximum=256,
    )
    upstream_max_windows: int = _declare(
        64,
        "Model servers",
        "Most windows of a text that is longer than the model's context; beyond it 413. Each window costs about as "
        "much as a request that fills the context.",
        unit="windows",
        minimum=1,
        maximum=10_000,
    )
    upstream_timeout_s: float = _declare(
        15.0,
        "Model servers",
        "Time for one call to a server. Too low: slow verdicts count as failures and the server is left out for a "
        "while. Too high: a server that hangs is noticed late, and no time is left to ask another one.",
        unit="seconds",
        minimum=0.1,
        maximum=600,
    )
    upstream_connect_timeout_s: float = _declare(
        2.0, "Model servers", "Time to connect to a server.", unit="seconds", minimum=0.05, maximum=60
    )
    max_body_bytes: int = _declare(
        1024 * 1024,
        "Limits",
        "Largest request body; beyond it 413. The body is held in memory several times over while it is parsed.",
        unit="bytes",
        minimum=1024,
        maximum=64 * 1024 * 1024,
    )
    max_messages: int = _declare(
        256,
        "Limits",
        "Most messages in one conversation; beyond it 413. Not for a guarded chat, which `max_body_bytes` bounds.",
        minimum=1,
        maximum=100_000,
    )
    max_batch_items: int = _declare(256, "Limits", "Most items in `inputs`; beyond it 413.", minimum=1, maximum=100_000)
    max_metadata_bytes: int = _declare(
        2048,
        "Limits",
        "Largest `metadata` of a request, as JSON; beyond it 413. It is copied into the audit record.",
        unit="bytes",
        minimum=0,
        maximum=65536,
    )
    cache_size: int = _declare(
        10_000,
        "Cache",
        "Verdicts remembered per worker, about 0.5 kB each; 0 switches the cache off. Text is never stored, only a "
        "keyed hash of it.",
        unit="verdicts",
        minimum=0,
        maximum=10_000_000,
    )
    cache_ttl_s: float = _declare(
        3600.0, "Cache", "How long a verdict is remembered.", unit="seconds", minimum=1, maximum=30 * 86400
    )
    question_memory_bytes: int = _declare(
        16 * 1024 * 1024,
        "Remembered questions",
        "Memory, shared by the workers, for the questions of answers that will come on their own (docs/litellm.md); 0 "
        "switches it off. It is never written to a disk. Too low: under load a question is forgotten before its answer "
        "comes, and the answer is judged alone.",
        unit="bytes",
        minimum=0,
        maximum=4 * 1024 * 1024 * 1024,
    )
    question_memory_ttl_s: float = _declare(
        600.0,
        "Remembered questions",
        "How long a question is remembered. Too low: the end of a long answer is judged without its question. Too "
        "high: texts of users stay in memory for longer than they are needed.",
        unit="seconds",
        minimum=1,
        maximum=86400,
    )
    log_level: str = _declare(
        "info",
        "Records",
        "How much is logged: `info` has one line per request, `warning` only what went wrong. No level logs text.",
        choices=_LOG_LEVELS,
    )
    traces: bool = _declare(
        False,
        "Records",
        "Send OpenTelemetry traces, which need the extra `otel`; where to, and how many of them, is said by the usual "
        "`OTEL_` variables. See docs/monitoring.md.",
    )


def declarations() -> tuple[Setting, ...]:
    """All settings in the order in which they are documented: those of the bases last."""
    hints = get_type_hints(Settings)
    fields = sorted(dataclasses.fields(Settings), key=lambda field: field.name not in Settings.__annotations__)
    return tuple(
        Setting(
            name=field.name,
            kind=_kind(hints[field.name]),
            default=field.default,
            is_list=get_origin(hints[field.name]) is tuple,
            **field.metadata,
        )
        for field in fields
    )


def _kind(hint: Any) -> type:
    for kind in (Secret, ServersUrl, Url, Path, bool, int, float, str):
        if hint is kind or kind in getattr(hint, "__args__", ()):
            return kind
    raise TypeError(hint)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Effective settings, where each value came from, and what looked odd on the way."""

    settings: Settings
    sources: Mapping[str, Source]
    warnings: tuple[str, ...]


def load_settings(
    *, file: Path | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Loaded:
    """Settings from file < environment < flags. Raises ConfigurationError with the place and the reason.

    An unknown name in the file is an error. An unknown `MODERATION_` variable is a warning only, and so is one whose
    value is no port but the address of a Kubernetes Service: every pod gets some for a Service called "moderation".
    """
    known = {setting.name: setting for setting in declarations()}
    values: dict[str, Any] = {}
    sources = dict.fromkeys(known, Source.DEFAULT)
    for name, (raw, where) in (read_settings_file(file, known) if file is not None else {}).items():
        values[name] = known[name].parse(raw, where=where)
        sources[name] = Source.FILE
    environ = environ or {}
    links = [one.env for one in known.values() if _is_service_link(one.env, environ.get(one.env, ""))]
    for setting in known.values():
        if setting.env in environ and setting.env not in links:
            values[setting.name] = setting.parse(environ[setting.env], where=setting.env)
            sources[setting.name] = Source.ENVIRONMENT
    for name, raw in (flags or {}).items():
        if raw is not None and raw != ():
            values[name] = known[name].parse(raw, where=known[name].flag)
            sources[name] = Source.FLAG
    return Loaded(Settings(**values), sources, _warnings(environ, known, links))


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set it: `MODERATION_PORT=tcp://10.96.0.1:8787` for a Service that is called `moderation`."""
    return name.endswith("_PORT") and re.fullmatch(r"(tcp|udp|sctp)://\S+:\d+", value) is not None


def _warnings(environ: Mapping[str, str], known: Mapping[str, Setting], links: Collection[str]) -> tuple[str, ...]:
    names = {setting.env for setting in known.values()} | {ENV_PREFIX + "CONFIG"}
    odd = {name: "no such setting" for name in environ if name.startswith(ENV_PREFIX) and name not in names}
    odd |= dict.fromkeys(links, "what Kubernetes sets for a Service of that name")
    return tuple(f"{name}: {reason}; ignored." for name, reason in sorted(odd.items()))
