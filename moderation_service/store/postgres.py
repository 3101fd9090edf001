"""Connections to PostgreSQL that give up on a server which says nothing more.

The server itself ends a statement that takes too long, but one that hangs, or whose machine was cut off, ends nothing,
and the driver would wait for ever. Each thread of the service that asks it would be lost.
"""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any

from sqlalchemy import Engine, event

__all__ = ["give_up_after"]


def give_up_after(engine: Engine, seconds: float) -> None:
    """Have each wait for the server end after so long; the connection is closed then, and its error says so."""
    from psycopg import Connection, OperationalError

    class Patient(Connection[Any]):
        """Asked for an answer, it waits for so long."""

        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            """What the generator comes to."""
            try:
                return super().wait(_until(gen, monotonic() + seconds), *args, **options)
            except _SilentError:
                self.pgconn.finish()
                raise OperationalError("the server did not answer in time") from None

    def connect(dialect: Any, record: Any, positional: Any, named: Any) -> Any:
        return Patient.connect(*positional, **named)

    event.listen(engine, "do_connect", connect)


class _SilentError(Exception):
    """The time is over."""


def _until(gen: Generator[Any, Any, Any], ends_at: float) -> Generator[Any, Any, Any]:
    """The same generator, until the time is over: it is resumed ten times a second, also where nothing has come."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and monotonic() >= ends_at:
                raise _SilentError
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
