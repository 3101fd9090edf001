"""Every setting of the service: declared once, with its type, default, unit and what it does at the extremes.

Precedence: the YAML file < environment (`MODERATION_` + the name in capitals) < command-line flags. The help of the
command line, `docs/configuration.md` and `config show` are made from these declarations. Nothing else in the
package reads settings from the environment.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from .errors import ConfigurationError
from .yaml_file import compose_file

__all__ = [
    "ENGINES",
    "ENV_PREFIX",
    "Loaded",
    "Secret",
    "Setting",
    "Settings",
    "Source",
    "declarations",
    "load_settings",
]

ENV_PREFIX = "MODERATION_"
ENGINES = ("lite",)
_LOG_LEVELS = ("debug", "info", "warning", "error")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be printed; its repr hides it."""

    value: str

    def __repr__(self) -> str:
        return "Secret('***')"


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of one setting, as documentation and command line need it."""

    name: str
    kind: type
    default: Any
    help: str
    section: str
    unit: str | None
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...] | None

    @property
    def env(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    def parse(self, raw: object, *, where: str) -> Any:
        """`raw`, from a file or as text, as this setting's type. Raises ConfigurationError that names `where`."""
        value = _PARSERS[self.kind](self, raw, where)
        if self.choices is not None and value not in self.choices:
            raise ConfigurationError(f"{where}: must be one of {', '.join(self.choices)}, not {value!r}.")
        low, high = self.minimum, self.maximum
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if low is not None and value < low:
                raise ConfigurationError(f"{where}: must be at least {low:g}, not {value!r}.")
            if high is not None and value > high:
                raise ConfigurationError(f"{where}: must be at most {high:g}, not {value!r}.")
        return value


class Source(enum.Enum):
    """Where the effective value of a setting comes from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


def _declare(
    default: Any,
    section: str,
    text: str,
    *,
    unit: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    metadata = {
        "section": section,
        "help": text,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The effective settings of one service; immutable."""

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
        32,
        "Server",
        "Requests that one worker handles at the same time. Too low: requests wait although the engine is idle "
        "(needed = request rate x latency / workers). Too high: more waiting requests compete for one core.",
        minimum=1,
        maximum=1024,
    )
    keep_alive_s: int = _declare(
        30,
        "Server",
        "How long an idle client connection is kept open, and how long a client may pause within a request.",
        unit="seconds",
        minimum=1,
        maximum=3600,
    )
    graceful_timeout_s: int = _declare(
        10,
        "Server",
        "After SIGTERM or Ctrl-C, how long requests in flight may take before they are cut.",
        unit="seconds",
        minimum=1,
        maximum=600,
    )
    pages: bool = _declare(True, "Server", "Serve the page at `/` on which a prompt and a response can be tried.")
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
    allow_open: bool = _declare(
        False, "Access", "Start without API keys on an address that other machines can reach. Never on a public one."
    )
    open_metrics: bool = _declare(
        False, "Access", "Serve `/metrics` without a key even when API keys are set, for scrapers that have none."
    )
    engine: str = _declare("lite", "Judging", "Who judges: `lite`, the embedded CPU engine.", choices=ENGINES)
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
    max_body_bytes: int = _declare(
        1024 * 1024,
        "Limits",
        "Largest request body; beyond it 413. The body is held in memory several times over while it is parsed.",
        unit="bytes",
        minimum=1024,
        maximum=64 * 1024 * 1024,
    )
    max_messages: int = _declare(
        256, "Limits", "Most messages in one conversation; beyond it 413.", minimum=1, maximum=100_000
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
    log_level: str = _declare(
        "info",
        "Records",
        "How much is logged: `info` has one line per request, `warning` only what went wrong. No level logs text.",
        choices=_LOG_LEVELS,
    )
    audit_file: Path | None = _declare(
        None,
        "Records",
        "File to which one JSON line per decision is added: ids, verdict, policy version, a keyed hash of the text "
        "and the caller's `metadata`; never the text.",
    )


def _parse_text(setting: Setting, raw: object, where: str) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ConfigurationError(f"{where}: must be a text.")
    return raw.strip()


def _parse_bool(setting: Setting, raw: object, where: str) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().lower() if isinstance(raw, str) else ""
    if word not in _TRUE | _FALSE:
        raise ConfigurationError(f"{where}: must be true or false.")
    return word in _TRUE


def _parse_int(setting: Setting, raw: object, where: str) -> int:
    try:
        return int(str(raw).replace("_", "")) if not isinstance(raw, (bool, float)) else _refuse()
    except ValueError:
        raise ConfigurationError(f"{where}: must be a whole number.") from None


def _parse_float(setting: Setting, raw: object, where: str) -> float:
    try:
        value = float(str(raw)) if not isinstance(raw, bool) else _refuse()
    except ValueError:
        raise ConfigurationError(f"{where}: must be a number.") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise ConfigurationError(f"{where}: must be a finite number.")
    return value


def _refuse() -> Any:
    raise ValueError


def _parse_path(setting: Setting, raw: object, where: str) -> Path:
    return Path(_parse_text(setting, raw, where)).expanduser()


def _parse_secrets(setting: Setting, raw: object, where: str) -> tuple[Secret, ...]:
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ConfigurationError(f"{where}: must be a list of texts.")
    return tuple(Secret(item.strip()) for item in items if item.strip())


_PARSERS: Mapping[type, Any] = {
    str: _parse_text,
    bool: _parse_bool,
    int: _parse_int,
    float: _parse_float,
    Path: _parse_path,
    Secret: _parse_secrets,
}


def declarations() -> tuple[Setting, ...]:
    """All settings in the order in which they are documented."""
    hints = get_type_hints(Settings)
    return tuple(
        Setting(name=field.name, kind=_kind(hints[field.name]), default=field.default, **field.metadata)
        for field in dataclasses.fields(Settings)
    )


def _kind(hint: Any) -> type:
    for kind in (Secret, Path, bool, int, float, str):
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

    An unknown name in the file is an error. An unknown `MODERATION_` variable is a warning only: Kubernetes invents
    some for a Service called "moderation".
    """
    known = {setting.name: setting for setting in declarations()}
    values: dict[str, Any] = {}
    sources = dict.fromkeys(known, Source.DEFAULT)
    for name, (raw, where) in (_read_file(file, known) if file is not None else {}).items():
        values[name] = known[name].parse(raw, where=where)
        sources[name] = Source.FILE
    environ = environ or {}
    for setting in known.values():
        if setting.env in environ:
            values[setting.name] = setting.parse(environ[setting.env], where=setting.env)
            sources[setting.name] = Source.ENVIRONMENT
    for name, raw in (flags or {}).items():
        if raw is not None:
            values[name] = known[name].parse(raw, where=known[name].flag)
            sources[name] = Source.FLAG
    names = {setting.env for setting in known.values()} | {ENV_PREFIX + "CONFIG"}
    odd = sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in names)
    return Loaded(Settings(**values), sources, tuple(f"{name}: no such setting; ignored." for name in odd))


def _read_file(path: Path, known: Mapping[str, Setting]) -> dict[str, tuple[object, str]]:
    """The file's values with their places. Lists are kept for secrets; everything else is text or a scalar."""
    root = compose_file(path)
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{path}:1: must be a mapping of settings.")
    found: dict[str, tuple[object, str]] = {}
    for key_node, value_node in root.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigurationError(f"{path}:{line}: the name of a setting must be a single word.")
        name = str(key_node.value)
        if name not in known:
            raise ConfigurationError(f"{path}:{line}: there is no setting {name!r}.")
        if name in found:
            raise ConfigurationError(f"{path}:{line}: {name} is set twice.")
        where = f"{path}:{line}: {name}"
        values = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
        if any(node.tag == _NULL or node.value == "" for node in values):
            # Read as text it would be the file "null" or the home folder "~"; read as "no keys" it would be open.
            raise ConfigurationError(f"{where}: has no value; leave the line out for the default.")
        if isinstance(value_node, yaml.ScalarNode):
            found[name] = (str(value_node.value), where)
        elif isinstance(value_node, yaml.SequenceNode) and all(
            isinstance(item, yaml.ScalarNode) for item in value_node.value
        ):
            found[name] = ([str(item.value) for item in value_node.value], where)
        else:
            raise ConfigurationError(f"{where}: must be a single value or a list of values.")
    return found
