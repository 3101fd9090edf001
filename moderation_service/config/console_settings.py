"""The settings of the console, and whether it is on."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Protocol

from ..core.loopback import is_loopback
from ..errors import ConfigurationError
from .extras import install_command
from .setting import Secret, Url, declare

__all__ = ["ConsoleSettings", "wants_console"]

_SECTION = "Console"
_ROLES = ("none", "viewer", "reviewer", "admin")
# What of the extra the console can't do without; the rest is imported where it is used.
_NEEDED = ("sqlalchemy", "alembic", "argon2")


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings:
    """What `Settings` has for the console."""

    console: str = declare(
        "auto",
        _SECTION,
        "The pages for people at `/console` (docs/console.md): `on`, `off`, or `auto`: on where only this machine can "
        "reach the service, the extra `console` is installed and there is a store. People sign in to it; API keys do "
        "not open it.",
        choices=("auto", "on", "off"),
    )
    console_url: Url | None = declare(
        None,
        _SECTION,
        "Address at which browsers reach the service, such as `https://moderation.example.com`. With https "
        "the session's cookie is sent over TLS only; the console answers to no other name then.",
    )
    console_session_hours: float = declare(
        12.0,
        _SECTION,
        "How long somebody stays signed in. Who is disabled, or signs out, is out at once in any case.",
        unit="hours",
        minimum=0.1,
        maximum=24 * 30,
    )
    console_oidc_issuer: Url | None = declare(
        None,
        _SECTION,
        "Address of an OpenID Connect provider whose people may sign in; its `/.well-known/openid-configuration` is "
        "read. Needs `console_url` and `console_oidc_client_id`.",
    )
    console_oidc_client_id: str | None = declare(None, _SECTION, "The client id that the provider knows this by.")
    console_oidc_client_secret: Secret | None = declare(
        None, _SECTION, "The client's secret; none for a public client, which PKCE protects."
    )
    console_oidc_role: str = declare(
        "none",
        _SECTION,
        "The role of people of the provider who have none yet: `none` lets in only those whom somebody has added with "
        "`moderation-service console user add NAME --subject SUBJECT`.",
        choices=_ROLES,
    )


class _Settings(Protocol):
    """What decides; `Settings` has it."""

    @property
    def host(self) -> str: ...
    @property
    def console(self) -> str: ...


def wants_console(settings: _Settings) -> bool:
    """Whether the console is to be there, if there is a store for it.

    Raises ConfigurationError where it is asked for and its extra isn't installed.
    """
    if settings.console == "off":
        return False
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if settings.console == "auto":
        return not missing and is_loopback(settings.host)
    if missing:
        raise ConfigurationError(f"console: {missing[0]} is not installed: {install_command('console')}.")
    return True
