"""Whether a service has a database of records, and where; known without loading anything of it."""

from __future__ import annotations

from importlib.util import find_spec

from ..config.extras import install_command
from ..config.store_settings import StoreSettings, data_folder
from ..errors import ConfigurationError

__all__ = ["AUTO", "FLUSH_S", "OFF", "store_address"]

AUTO, OFF = "auto", "off"
FLUSH_S = 5
"""What waiting records get to be written, after the last request, before a process of the service is killed."""


def store_address(settings: StoreSettings, *, is_local: bool) -> str | None:
    """The address of the database; None for none. `is_local`: only this machine can reach the service.

    Raises ConfigurationError where one is named and the extra is missing; `auto` then does without.
    """
    wanted = settings.store.value
    is_installed = find_spec("sqlalchemy") is not None and find_spec("alembic") is not None
    if wanted == OFF or (wanted == AUTO and not (is_local and is_installed)):
        return None
    if not is_installed:
        raise ConfigurationError(f"store: needs the extra `console`: {install_command('console')}")
    if wanted == AUTO:
        return f"sqlite:///{(data_folder(settings) / 'moderation.db').absolute()}"
    return wanted
