"""Structured logs: one JSON object per line on standard error, and never any text of a user.

What may go in: ids, routes, statuses, timings, counts, verdicts, names of errors. An exception is logged by its type
and its frames; its message is left out, because messages like to quote the value that caused them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.config
import os
import sys
import traceback
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "JsonFormatter",
    "access_line",
    "collect_access_lines",
    "configure_logging",
    "log_event",
    "logging_config",
    "write_access_lines",
]

_encode = json.JSONEncoder().encode
_collected: deque[str] | None = None
# Under 16 kB: a process that is killed loses no more.
_MOST_COLLECTED = 32


class JsonFormatter(logging.Formatter):
    """One line of JSON per record; fields given as `extra={"fields": {...}}` are merged in."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if fields:
            line.update(fields)
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            line["error_type"] = record.exc_info[0].__name__
            line["frames"] = [f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in frames[-12:]]
        return json.dumps(line)


def log_event(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """Log an event with its fields; the event is a constant, what varies is in the fields."""
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={"fields": fields})


def access_line(fields: Mapping[str, object]) -> None:
    """Write the line of one request, in the formatter's shape.

    Not through `logging`, whose records, locks and handlers cost twice as much as the rest of the line. A server's
    process may collect lines for a moment (`collect_access_lines`).
    """
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = _encode({"time": moment, "level": "info", "logger": "moderation.access", "event": "request", **fields})
    if _collected is None:
        _write(line + "\n")
        return
    _collected.append(line + "\n")
    if len(_collected) >= _MOST_COLLECTED:
        write_access_lines()


def collect_access_lines() -> None:
    """From now on collect the lines of this process; whoever calls this calls `write_access_lines` when idle."""
    global _collected
    _collected = deque()


def write_access_lines() -> None:
    """Write the lines that were collected, if there are any. May be called from many threads at once."""
    lines = []
    with contextlib.suppress(IndexError):
        while _collected:
            lines.append(_collected.popleft())
    if lines:
        _write("".join(lines))


def _write(line: str) -> None:
    """One system call past Python's buffer, whose lock would be held while the interpreter's is given up."""
    # A closed pipe on the other side must not fail a verdict.
    with contextlib.suppress(OSError, ValueError):
        try:
            descriptor = sys.stderr.fileno()
        except (OSError, ValueError):
            sys.stderr.write(line)  # something else was put in its place
        else:
            os.write(descriptor, line.encode())


def logging_config(level: str) -> dict[str, Any]:
    """The `logging.config.dictConfig` of the whole process, gunicorn's loggers included."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "moderation_service.observability.logs.JsonFormatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            # At debug it would write down paths, and half a body when a client goes away.
            "gunicorn.error": {
                "level": "INFO" if level == "debug" else level.upper(),
                "handlers": [],
                "propagate": True,
            },
            # Its access log would write down paths and query strings as they were sent.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            # Deprecated-default chatter of libraries is not the operator's business.
            "urllib3": {"level": "ERROR"},
            # It tells at every start what it is made of.
            "alembic": {"level": "WARNING"},
        },
    }


def configure_logging(level: str) -> None:
    """Set up logging in a process that gunicorn does not set up (command line, tests)."""
    logging.config.dictConfig(logging_config(level))
    # Nothing here prints them, and finding them out costs time on every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
