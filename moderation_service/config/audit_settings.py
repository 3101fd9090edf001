"""Settings of the audit record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .setting import declare as _declare

__all__ = ["AuditSettings"]

_SECTION = "Audit"


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """Where each decision is written down, and how much of that is kept."""

    audit_file: Path | None = _declare(
        None,
        _SECTION,
        "File to which one JSON line per decision is added: ids, verdict, policy version, a keyed hash of the text "
        "and the caller's `metadata`; never the text. `/dev/stdout` is one too.",
    )
    audit_required: bool = _declare(
        False,
        _SECTION,
        "Give no decision without its audit record: where it can't be written, such as on a full disk, the check ends "
        "with 503 `audit_unavailable`. Otherwise a missing record is only logged and counted. Needs `audit_file`.",
    )
    audit_max_bytes: int = _declare(
        0,
        _SECTION,
        "Before `audit_file` would grow beyond this, it is renamed to `.1`, an earlier `.1` to `.2` and so on, and a "
        "new one is begun; no record is lost. The service must be allowed to rename in that folder. 0: it grows until "
        "somebody else renames it and sends SIGHUP.",
        unit="bytes",
        minimum=0,
        maximum=1_000_000_000_000,
    )
    audit_keep: int = _declare(
        10,
        _SECTION,
        "How many renamed files are kept with `audit_max_bytes`; the oldest is deleted. All together take up to "
        "(this + 1) x `audit_max_bytes`.",
        minimum=1,
        maximum=10_000,
    )
