"""What the server builds on in gunicorn and httptools; a new version that breaks it is to be noticed here."""

from __future__ import annotations

import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import httptools
import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker
from packaging.requirements import Requirement

FOUNDATIONS = ("gunicorn", "httptools")


@pytest.mark.parametrize("name", FOUNDATIONS)
def test_the_installed_version_is_one_that_was_tried(name: str) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [Requirement(line) for line in project["dependencies"]]
    (bounds,) = [one.specifier for one in found if one.name == name]
    assert any(one.operator == "<" for one in bounds), f"{name} has no upper bound in pyproject.toml"
    assert version(name) in bounds, f"{name} {version(name)} was not tried with this server: {bounds}"


def test_gunicorn_has_what_the_worker_and_the_arbiter_override_and_use() -> None:
    for owner, names in (
        (Worker, ("run", "notify", "handle_quit", "handle_exit", "init_process", "load_wsgi")),
        (Arbiter, ("reload", "run")),
        (BaseApplication, ("load", "load_config", "run")),
    ):
        missing = [name for name in names if not callable(getattr(owner, name, None))]
        assert not missing, f"gunicorn {version('gunicorn')}: {owner.__name__} has no {missing}"
    source = inspect.getsource(Worker)
    for attribute in ("self.PIPE", "self.sockets", "self.ppid", "self.alive", "self.wsgi"):
        assert attribute in source, f"gunicorn {version('gunicorn')}: a worker has no {attribute}"
    assert "set_wakeup_fd(self.PIPE[1])" in source, "a signal does not wake the poller any more"


class Seen:
    def on_message_complete(self) -> None:
        pass

    def on_body(self, part: bytes) -> None:
        raise KeyError("ours")


def test_httptools_tells_where_another_protocol_would_begin() -> None:
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as raised:
        httptools.HttpRequestParser(Seen()).feed_data(head + b"body")
    assert raised.value.args == (len(head),)


def test_httptools_keeps_an_exception_of_ours_as_the_context_of_its_own() -> None:
    with pytest.raises(httptools.HttpParserCallbackError) as raised:
        httptools.HttpRequestParser(Seen()).feed_data(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")
    assert isinstance(raised.value.__context__, KeyError)
