"""The names under which a service that anybody on this machine may use is asked.

A web page can have its own name point to 127.0.0.1 (DNS rebinding) and then read what a service there answers: without
keys, the operator's chat model. The name it was asked under, which a page can't change, gives it away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..config.settings import Settings
from ..core.loopback import is_loopback
from ..errors import HostNotAllowed
from .api_keys import ApiKeys
from .callers import Callers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["AllowedHosts"]

_EVERY_NAME = "*"
# How containers call the machine they run on.
_NAMES = frozenset({"localhost", "host.docker.internal"})


class AllowedHosts:
    """The check of `Host`; there is none with keys, nor where the operator opened the service to other machines."""

    def __init__(self, settings: Settings, keys: ApiKeys | Callers) -> None:
        names = {name.lower() for name in settings.allowed_hosts}
        self._keys = keys
        self._is_on = is_loopback(settings.host) and _EVERY_NAME not in names
        self._names = _NAMES | names
        self._told = (
            "Without API keys this service is only for its own machine, and answers to names such as localhost. "
            "Add the name it was asked under to `allowed_hosts`, or set `api_keys`."
        )

    @classmethod
    def of_console(cls, settings: Settings) -> AllowedHosts:
        """The names of the console, which are checked with keys too: they keep nobody out of it.

        On an address that other machines can reach, any name will do unless the operator has said which.
        """
        made = cls(settings, ApiKeys(()))
        named = set(settings.allowed_hosts) - {_EVERY_NAME}
        if settings.console_url is not None:
            named.add(urlsplit(settings.console_url).hostname or "")
        made._names |= {name.lower() for name in named}
        made._is_on = _EVERY_NAME not in settings.allowed_hosts and (is_loopback(settings.host) or bool(named))
        made._told = "The console is asked for by another name. Add it to `allowed_hosts`, or set `console_url`."
        return made

    def check(self, environ: WSGIEnvironment) -> None:
        """Raise HostNotAllowed for a name that is not this machine's own."""
        if self._is_on and not self._keys and not self._allows(environ.get("HTTP_HOST", "")):
            raise HostNotAllowed(self._told)

    def _allows(self, sent: str) -> bool:
        if not sent:
            return True  # no browser sends none
        name = sent.lower().strip()
        # A port is digits behind the last colon; the colons of an IPv6 address are in brackets.
        if not name.endswith("]"):
            name, _, port = name.rpartition(":") if ":" in name else (name, "", "0")
            if port and not port.isdigit():
                return False
        return name in self._names or name.rstrip(".") in self._names or is_loopback(name)
