"""The database of records, for commands that read or change it beside a running service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from .options import load

if TYPE_CHECKING:
    from ..store.database import Database

__all__ = ["open_database"]


def open_database(config_file: Path | None, *, data_dir: Path | None = None) -> Database:
    """The database that the settings name; for `auto` the file that a service on this machine uses.

    Raises ConfigurationError where there is none.
    """
    from ..store.choice import store_address

    address = store_address(load(config_file, {"data_dir": data_dir and str(data_dir)}).settings, is_local=True)
    if address is None:
        raise ConfigurationError("store: there is no database of records; see docs/records.md.")
    from ..store.database import Database

    return Database(address)
