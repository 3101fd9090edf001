"""API keys: read from settings, kept and compared as hashes."""

from __future__ import annotations

import base64
import hmac
import logging
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

from ..config.settings import Settings
from ..core.app import key_digest
from ..core.loopback import is_loopback
from ..errors import ConfigurationError
from ..observability.logs import log_event
from ..wires import alibaba, bedrock

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = [
    "OPENRLHF_PATH",
    "SLIME_PATH",
    "ApiKeys",
    "KnowsKeys",
    "check_exposure",
    "identify_caller",
    "keys_of_contract",
    "load_api_keys",
    "sent_key",
    "warn_of_readers",
]

_log = logging.getLogger("moderation.server")

_MIN_KEY_CHARS = 8
# Beyond ASCII, clients disagree about the bytes of a header: such a key would be refused by some of them.
_KEY = re.compile(rf"[!-~]{{{_MIN_KEY_CHARS},}}")
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAX_SEARCHED_CHARS = 16_384
_WORD = re.compile(rf"[^\s,;=\"']{{{_MIN_KEY_CHARS},}}")
_BASE64 = re.compile(rf"[A-Za-z0-9_-]{{{_MIN_KEY_CHARS},}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

OPENRLHF_PATH, SLIME_PATH = "/rewards/openrlhf", "/rewards/slime"
# Those who ask here can send no header: their key may stand in the address, which is logged nowhere.
_KEY_IN_ADDRESS = frozenset({OPENRLHF_PATH, SLIME_PATH})
_MAX_QUERY_FIELDS = 16


class KnowsKeys(Protocol):
    """Knows keys by their names."""

    def identify(self, key: str) -> str | None:
        """The name of this key, or None."""


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The accepted keys as (name, SHA-256) pairs. Keys are long and random, so a plain hash is enough."""

    entries: tuple[tuple[str, bytes], ...]
    lengths: frozenset[int] = frozenset()
    """Of the keys, 0 among them if one was given as a hash."""

    def __bool__(self) -> bool:
        return bool(self.entries)

    def identify(self, key: str) -> str | None:
        """The name of this key, or None. Takes the same time for every key: all entries are always compared."""
        digest = key_digest(key)
        found: str | None = None
        for name, expected in self.entries:
            if hmac.compare_digest(digest, expected):
                found = name
        return found

    def are_in(self, text: str) -> bool:
        """Whether a text has one of the keys in it, or in what it says in base64, as `Authorization: Basic` does.

        Any part of the text is tried that has the length of a key; for keys known as a hash only, each word with any
        of its beginnings and ends. A text too long for that counts as one that has.
        """
        if not self.entries:
            return False
        if len(text) > _MAX_SEARCHED_CHARS:
            return True
        digests = {digest for _, digest in self.entries}
        return any(key_digest(part) in digests for one in (text, *_decoded(text)) for part in self._parts(one))

    def _parts(self, text: str) -> Iterator[str]:
        for length in self.lengths - {0}:
            for start in range(len(text) - length + 1):
                yield text[start : start + length]
        for word in (*text.split(), *_WORD.findall(text)) if 0 in self.lengths else ():
            for cut in range(_MIN_KEY_CHARS, len(word) + 1):
                yield word[:cut]
                yield word[-cut:]


def load_api_keys(settings: Settings) -> ApiKeys:
    """The keys of `api_keys` and `api_keys_file`. Raises ConfigurationError; no message repeats a key."""
    entries: dict[str, bytes] = {}
    lengths: set[int] = set()
    listed = [(f"api_keys[{index}]", secret.value) for index, secret in enumerate(settings.api_keys)]
    if settings.api_keys_file is not None:
        path = settings.api_keys_file
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"api_keys_file: {path} can't be read: {type(error).__name__}.") from None
        stripped = ((number, line.strip()) for number, line in enumerate(lines, start=1))
        in_file = [(f"{path}:{number}", line) for number, line in stripped if line and not line.startswith("#")]
        if not in_file:
            # An empty file would mean "open"; whoever names a file wants keys.
            raise ConfigurationError(f"api_keys_file: {path} has no key in it.")
        listed += in_file
    for where, text in listed:
        name, digest, length = _parse(text, where=where, number=len(entries) + 1)
        if name in entries:
            raise ConfigurationError(f"{where}: there are two keys named {name!r}.")
        entries[name] = digest
        lengths.add(length)
    return ApiKeys(tuple(entries.items()), frozenset(lengths))


def warn_of_readers(path: Path) -> None:
    """Log a warning when every user of this machine can read a key in this file; digests are no secret."""
    mode = stat.S_IMODE(path.stat().st_mode)
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    has_plain = any("sha256:" not in line for line in lines if line and not line.startswith("#"))
    if mode & stat.S_IROTH and has_plain:
        log_event(_log, logging.WARNING, "api_keys_file_readable", file=str(path), mode=f"{mode:04o}")


def _parse(text: str, *, where: str, number: int) -> tuple[str, bytes, int]:
    """Name, digest and length of a key; 0 where only its digest is known."""
    name, separator, key = text.partition(":")
    if not separator:
        name, key = f"key-{number}", text
    if name == "sha256":
        # A digest without a name. A misspelt one must not pass for a key named "sha256".
        name, key = f"key-{number}", text
    if not _KEY_NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: a key's name may have letters, digits, '.', '_' and '-' only.")
    if key.startswith("sha256:"):
        digest = key.removeprefix("sha256:")
        if not _DIGEST.fullmatch(digest):
            raise ConfigurationError(f"{where}: sha256: must be followed by 64 lower-case hex digits.")
        return name, bytes.fromhex(digest), 0
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"{where}: a key needs {_MIN_KEY_CHARS} characters or more, all of them printable ASCII without spaces."
        )
    return name, key_digest(key), len(key)


def _decoded(text: str) -> Iterator[str]:
    """What the words of a text say in base64."""
    for word in _BASE64.findall(text.replace("+", "-").replace("/", "_")):
        with suppress(ValueError):
            yield base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)).decode()


def check_exposure(settings: Settings, *, has_keys: bool) -> None:
    """Refuse to serve everybody on an address that other machines can reach. Raises ConfigurationError."""
    if has_keys or settings.apps_file is not None or settings.allow_open or is_loopback(settings.host):
        return
    raise ConfigurationError(
        f"host: {settings.host} can be reached from other machines and no API key is set. "
        "Set api_keys, api_keys_file or apps_file, listen on 127.0.0.1, or say allow_open if something in front checks "
        "callers."
    )


def identify_caller(environ: WSGIEnvironment, keys: KnowsKeys, *, passes_keys_on: bool) -> str | None:
    """The name of the key that a request came with; None without one of ours.

    With `passes_keys_on`, what `Authorization` holds may be for the guarded chat model; ours is then in `X-API-Key`.
    At the doors for trainers it may be in the address, as `key=...`.
    """
    api_key = environ.get("HTTP_X_API_KEY")
    key = sent_key(environ.get("HTTP_AUTHORIZATION"), api_key)
    name = keys.identify(key) if key is not None else None
    if name is None and passes_keys_on and api_key:
        name = keys.identify(api_key.strip())
    if name is None:
        # All places are tried: at some doors one of them may be for somebody else.
        for other in keys_of_contract(environ):
            name = name or keys.identify(other)
    if name is None and environ["PATH_INFO"] in _KEY_IN_ADDRESS:
        in_address = _key_in_address(environ.get("QUERY_STRING", ""))
        name = keys.identify(in_address) if in_address else None
    return name


def keys_of_contract(environ: WSGIEnvironment) -> Sequence[str]:
    """The keys that a gateway's contract carries elsewhere, by the address that is asked."""
    path, authorization = environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION", "")
    found: list[str | None] = []
    if path.startswith("/contentsafety/"):
        found = [environ.get("HTTP_OCP_APIM_SUBSCRIPTION_KEY")]
    elif path.startswith("/guardrail/"):
        found = [bedrock.access_key_of(authorization)]
    elif path in ("", "/"):
        found = [alibaba.access_key_of(authorization)]
    elif path.startswith("/authz"):
        # `Authorization` is the client's there, and so may `X-API-Key` be.
        found = [environ.get("HTTP_X_MODERATION_KEY"), environ.get("HTTP_X_API_KEY")]
    return [one.strip() for one in found if one]


def _key_in_address(query_string: str) -> str | None:
    with suppress(ValueError):
        return dict(parse_qsl(query_string, max_num_fields=_MAX_QUERY_FIELDS)).get("key")
    return None


def sent_key(authorization: str | None, api_key: str | None) -> str | None:
    """The key of an `Authorization: Bearer` header, else of `X-API-Key`; None when neither holds one."""
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
    return (api_key or "").strip() or None
