"""The settings of the database of records: where it is, for how long it keeps what, how much waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .setting import Secret, declare

__all__ = ["StoreSettings", "data_folder"]

_SECTION = "Database of records"


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """The database of `moderation_service.store`; docs/records.md."""

    store: Secret = declare(
        Secret("auto"),
        _SECTION,
        "Where decisions, lists, reviews and people are kept: `sqlite:////folder/file.db`, `postgresql://...`, `off`, "
        "or `auto`: a file in `data_dir` where the service listens on a loopback address, the extra `console` is "
        "installed and the console is not off; otherwise off. No text is kept unless a policy says so.",
    )
    data_dir: Path | None = declare(
        None, _SECTION, "Folder for the file of `store: auto`; otherwise `~/.local/share/moderation-service`."
    )
    store_key: Secret | None = declare(
        None,
        _SECTION,
        "Key of the hashes of texts and end users in the records, 16 characters or longer. Without it a random one is "
        "kept in the database. Needed only so that a service that starts while its database is away hashes alike.",
    )
    store_memory_bytes: int = declare(
        128 * 1024 * 1024,
        _SECTION,
        "Memory of one worker for records that wait for the database, about 350 bytes each without text. Too low: when "
        "the database is away for long, records are dropped, which is counted. Too high: memory.",
        unit="bytes",
        minimum=64 * 1024,
        maximum=64 * 1024 * 1024 * 1024,
    )
    records_days: int = declare(
        90,
        _SECTION,
        "How long a record of a decision is kept; 0 for ever. Hourly sums stay.",
        unit="days",
        minimum=0,
        maximum=36500,
    )


def data_folder(settings: StoreSettings) -> Path:
    """The folder for what the service keeps of its own accord."""
    return settings.data_dir or Path("~/.local/share/moderation-service").expanduser()
