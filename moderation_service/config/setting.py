"""One setting: its declaration, and how text from a file, the environment or a flag becomes a value of its type."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigurationError

__all__ = ["ENV_PREFIX", "Secret", "ServersUrl", "Setting", "Url", "declare"]

ENV_PREFIX = "MODERATION_"
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be printed; its repr hides it."""

    value: str

    def __repr__(self) -> str:
        return "Secret('***')"


class Url(str):
    """The base address of an HTTP server, without a slash at its end."""

    __slots__ = ()


class ServersUrl(Url):
    """The same, or, with `?resolve=all` behind it, that of a server at each address that its name stands for."""

    __slots__ = ()

    RESOLVE_ALL = "?resolve=all"

    @property
    def base(self) -> str:
        """The address without what is asked of its name."""
        return self.removesuffix(self.RESOLVE_ALL)

    @property
    def is_resolved(self) -> bool:
        """Whether the name stands for several servers, looked up again and again."""
        return self.endswith(self.RESOLVE_ALL)


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
    is_list: bool = False

    @property
    def env(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The command-line flag; that of a list names one item and is repeated."""
        name = self.name.removesuffix("s") if self.is_list else self.name
        return "--" + name.replace("_", "-")

    def parse(self, raw: object, *, where: str) -> Any:
        """`raw`, from a file or as text, as this setting's type. Raises ConfigurationError that names `where`."""
        if self.is_list:
            return _parse_list(self, raw, where)
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


def declare(
    default: Any,
    section: str,
    text: str,
    *,
    unit: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A dataclass field that is a setting: its default, the section of the page, and what it does."""
    metadata = {
        "section": section,
        "help": text,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
    }
    return dataclasses.field(default=default, metadata=metadata)


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


def _parse_secret(setting: Setting, raw: object, where: str) -> Secret:
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        raise ConfigurationError(f"{where}: must be a text.")
    return Secret(raw.strip())


def _parse_url(setting: Setting, raw: object, where: str) -> Url:
    text = _parse_text(setting, raw, where).rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.username or parts.query or parts.fragment or not text.isprintable() or " " in text:
        # The value is not repeated: people put passwords into addresses.
        raise ConfigurationError(f"{where}: must be an address such as http://127.0.0.1:8000, without a password.")
    return Url(text)


def _parse_servers_url(setting: Setting, raw: object, where: str) -> ServersUrl:
    text = _parse_text(setting, raw, where)
    base, mark, asked = text.partition("?")
    if not mark:
        return ServersUrl(_parse_url(setting, text, where))
    if mark + asked != ServersUrl.RESOLVE_ALL:
        raise ConfigurationError(f"{where}: behind an address only {ServersUrl.RESOLVE_ALL} can stand.")
    return ServersUrl(_parse_url(setting, base, where) + ServersUrl.RESOLVE_ALL)


def _parse_list(setting: Setting, raw: object, where: str) -> tuple[Any, ...]:
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ConfigurationError(f"{where}: must be a list of texts.")
    return tuple(_PARSERS[setting.kind](setting, item, where) for item in items if item.strip())


_PARSERS: Mapping[type, Any] = {
    str: _parse_text,
    bool: _parse_bool,
    int: _parse_int,
    float: _parse_float,
    Path: _parse_path,
    Secret: _parse_secret,
    Url: _parse_url,
    ServersUrl: _parse_servers_url,
}
