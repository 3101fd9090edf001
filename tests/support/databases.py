"""Databases for tests: a file of SQLite, and a PostgreSQL of their own where Debian's is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from processes import free_port, until
from sqlalchemy import Connection, Engine, event

from moderation_service.store.database import Database

__all__ = ["Postgres", "sqlite_with_tables"]

_VERSIONS = Path("/usr/lib/postgresql")


def sqlite_with_tables(file: Path) -> str:
    """The address of this file, which has the tables: copied, where it is new, because making them takes long."""
    _share_statements()
    if not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(_tables())
    return f"sqlite:///{file}"


class _Statements(dict[Any, Any]):
    """Compiled statements by what they say, whichever engine asks: the first part of its key is its own dialect."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key[1:], value)


@cache
def _share_statements() -> None:
    """Let all files of SQLite share what is compiled: each test has an engine of its own, which would begin anew."""
    compiled = _Statements()

    @event.listens_for(Engine, "engine_connect")
    def share(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.execution_options(compiled_cache=compiled)


@cache
def _tables() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tables.db"
        database = Database(f"sqlite:///{file}")
        database.prepare()
        database.close()
        assert [one.name for one in Path(folder).iterdir()] == [file.name]
        return file.read_bytes()


class Postgres:
    """A server of its own in a folder of its own; as another user where the tests run as root, which it refuses."""

    def __init__(self) -> None:
        self.programs = _programs()
        """Where its programs are, `pg_dump` and others."""
        self._user = _other_user() if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="moderation-postgres-"))
        self._folder.chmod(0o755)
        self.port = free_port()
        self._databases = 0
        data = self._folder / "data"
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", data, "-U", "moderation", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        # A child of ours and not pg_ctl's: that one waits for a process to vanish, which some containers never let it.
        options = ["-p", self.port, "-k", self._folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (self._folder / "log").open("ab") as log:
            command = [self.programs / "postgres", "-D", self._folder / "data", *options]
            self._server = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, cwd=self._folder, **self._as_the_user()
            )
        until(self._is_ready)

    def stop(self) -> None:
        """At once, as a crash would."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(30)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Within the block none of its processes does anything."""
        pids = [self._server.pid, *_children_of(self._server.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def new_database(self) -> str:
        """The address of an empty database."""
        self._databases += 1
        name = f"records_{self._databases}"
        self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "moderation", name)
        return f"postgresql://moderation@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        if self._server.poll() is None:
            self.stop()
        shutil.rmtree(self._folder)

    def _is_ready(self) -> bool:
        assert self._server.poll() is None, (self._folder / "log").read_text()
        command = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _as_the_user(self) -> dict[str, Any]:
        who = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return {**who, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}}

    def _run(self, program: str, *arguments: object) -> None:
        command = [self.programs / program, *map(str, arguments)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            check=False,
            timeout=60,
            **self._as_the_user(),
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")


def _children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _programs() -> Path:
    found = sorted(_VERSIONS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    return found[-1].parent


def _other_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
