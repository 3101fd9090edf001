"""SIGHUP: settings, policies and keys are read anew, and no request is lost meanwhile."""

from __future__ import annotations

import http.client
import os
import pty
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crowd import asking
from processes import Running, free_port, running, send, until
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow

OLD, NEW = "old-0123456789abcdef", "new-0123456789abcdef"


def reload(service: Running) -> None:
    """Send the signal, and wait until the workers of before have gone."""
    assert service.request("GET", "/healthz").status == 200
    before = set(service.workers())
    count = sum('"reloaded"' in line for line in service.lines)
    service.process.send_signal(signal.SIGHUP)
    until(lambda: sum('"reloaded"' in line for line in service.lines) > count)
    until(lambda: not before & set(service.workers()))


def refuse_to_reload(service: Running) -> str:
    """Send the signal, and return the reason why everything stayed as it was."""
    before = len([line for line in service.log if line["event"] == "reload_refused"])
    service.process.send_signal(signal.SIGHUP)
    until(lambda: len([line for line in service.log if line["event"] == "reload_refused"]) > before)
    return str([line for line in service.log if line["event"] == "reload_refused"][-1]["reason"])


def metric(service: Running, name: str, **headers: str) -> float:
    text = service.request("GET", "/metrics", **headers).body.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name)


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    file = tmp_path / "policies.yaml"
    file.write_text("policies: {own: {extends: balanced}}\n")
    return file


def test_keys_are_rotated_without_a_lost_request(tmp_path: Path) -> None:
    """Eight clients ask without a pause, on kept and on new connections, while the keys change twice."""
    keys = tmp_path / "keys"
    keys.write_text(f"app:{OLD}\n")
    with running("--workers", "2", "--threads", "8", "--api-keys-file", str(keys)) as service:
        key = OLD
        answered: list[int] = []
        have_changed: set[int] = set()
        connections = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=30) for _ in range(8)]

        def ask(number: int) -> None:
            own, connection = key, connections[number]
            reply = send(connection, "POST", "/moderate", {"prompt": "bread"}, X_API_Key=own)
            answered.append(reply.status)
            if own == NEW:
                have_changed.add(number)
            if number % 2 or reply.headers.get("Connection") == "close":
                connection.close()

        with asking(ask, callers=len(connections)):
            keys.write_text(f"app:{OLD}\napp-next:{NEW}\n")
            reload(service)
            key = NEW
            until(lambda: len(have_changed) == len(connections))
            keys.write_text(f"app:{NEW}\n")
            reload(service)
        for connection in connections:
            connection.close()
        assert set(answered) == {200}
        assert service.request("GET", "/policies", X_API_Key=OLD).status == 401
        assert metric(service, "moderation_requests_total", X_API_Key=NEW) >= len(answered)


def test_policies_are_read_again(policies: Path) -> None:
    with running("--workers", "1", "--policies-file", str(policies)) as service:
        policies.write_text("policies: {renewed: {extends: strict}}\n")
        reload(service)
        names = {one["name"] for one in service.request("GET", "/policies").json["policies"]}
        assert {"renewed", "balanced"} <= names
        assert "own" not in names


def test_a_mistake_leaves_everything_as_it_was_and_says_where_it_is(policies: Path) -> None:
    with running("--workers", "1", "--policies-file", str(policies)) as service:
        assert service.request("GET", "/healthz").status == 200
        workers = service.workers()
        policies.write_text("policies:\n  own:\n    actions: {unsafe: deny}\n")
        assert refuse_to_reload(service).startswith(f"{policies}:3: ")
        policies.unlink()
        assert str(policies) in refuse_to_reload(service)
        policies.mkdir()
        assert str(policies) in refuse_to_reload(service)
        assert service.workers() == workers
        assert service.request("POST", "/moderate", {"prompt": "bread", "policy": "own"}).status == 200
        assert metric(service, "moderation_config_last_reload_successful") == 0
        policies.rmdir()
        policies.write_text("policies: {own: {extends: strict}}\n")
        reload(service)
        assert metric(service, "moderation_config_last_reload_successful") == 1


def test_settings_are_read_again_and_counting_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "moderation.yaml"
    file.write_text("workers: 1\nthreads: 4\n")
    with running("--config", str(file)) as service:
        service.moderate("bread")
        assert metric(service, "moderation_request_slots") == 4
        file.write_text(f"workers: 3\nthreads: 5\nport: {free_port()}\nmax_body_bytes: 1024\n")
        reload(service)
        until(lambda: len(service.workers()) == 3)
        assert service.request("POST", "/moderate", {"prompt": "x" * 2000}).status == 413
        assert metric(service, "moderation_request_slots") == 15
        assert metric(service, "moderation_decisions_total") == 1


def test_a_reload_does_not_open_a_service_that_others_can_reach(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"app:{OLD}\n")
    with running("--workers", "1", "--host", "0.0.0.0", "--api-keys-file", str(keys)) as service:
        keys.write_text("# none\n")
        assert refuse_to_reload(service) == f"api_keys_file: {keys} has no key in it."
        assert service.request("GET", "/policies").status == 401


def test_a_host_that_is_read_anew_does_not_open_the_one_in_use(tmp_path: Path) -> None:
    keys, file = tmp_path / "keys", tmp_path / "moderation.yaml"
    keys.write_text(f"app:{OLD}\n")
    file.write_text(f"host: 0.0.0.0\nworkers: 1\napi_keys_file: {keys}\n")
    with running("--config", str(file)) as service:
        file.write_text("host: 127.0.0.1\nworkers: 1\n")
        assert refuse_to_reload(service).startswith("host: 0.0.0.0 can be reached from other machines and no API key")
        assert service.request("GET", "/policies").status == 401


def test_the_audit_file_is_opened_anew_so_that_it_can_be_renamed(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    with running("--workers", "1", "--audit-file", str(file)) as service:
        service.moderate("bread")
        file.rename(tmp_path / "audit.1.jsonl")
        reload(service)
        service.moderate("bread")
        descriptors = [str(link.readlink()) for link in Path(f"/proc/{service.process.pid}/fd").iterdir()]
        assert [name for name in descriptors if "audit" in name] == [str(file)]
    assert [len(path.read_text().splitlines()) for path in sorted(tmp_path.glob("audit*"))] == [1, 1]


def test_a_request_that_takes_long_is_answered_by_the_worker_that_began_it(policies: Path) -> None:
    with running("--workers", "1", "--policies-file", str(policies)) as service:
        found: list[str] = []
        slow = threading.Thread(target=lambda: found.append(service.moderate("slow bomb")["action"]))
        slow.start()
        until(lambda: metric(service, "moderation_requests_in_flight") == 2)
        reload(service)
        slow.join()
        assert found == ["block"]


def test_a_client_that_has_connected_and_not_yet_asked_is_answered() -> None:
    with running("--workers", "2") as service:
        assert service.request("GET", "/healthz").status == 200
        connections = []
        for number in range(40):
            connections.append(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30))
            connections[-1].connect()
            if number == 20:
                service.process.send_signal(signal.SIGHUP)
            time.sleep(0.002)  # a first byte is waited for a few milliseconds; some are within them, some beyond
        statuses = [send(one, "POST", "/moderate", {"prompt": "bread"}).status for one in connections]
        for one in connections:
            one.close()
        assert statuses == [200] * 40


@contextmanager
def in_a_terminal(*flags: str) -> Iterator[tuple[Running, int]]:
    """A service that was started in a terminal, and the end of it that a person would sit at."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin, running(*flags, stdin=stdin) as service:
        yield service, ours


def test_a_closed_terminal_ends_it_as_before() -> None:
    with in_a_terminal("--workers", "1") as (service, terminal):
        os.close(terminal)
        service.process.send_signal(signal.SIGHUP)
        assert service.wait() == 0
