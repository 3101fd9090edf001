"""What the pods promise of their containers: another user, no capabilities, a read-only root, and being process 1."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import charts
import containment
import pytest
from fake_guard_server import FakeServer
from processes import free_port

pytestmark = pytest.mark.skipif(not containment.can_contain(), reason="needs root and the right to make namespaces")
KEY = "test-key-0123456789"


@pytest.fixture
def model_server() -> Iterator[FakeServer]:
    server = FakeServer()
    server.start()
    yield server
    server.stop()


def release(port: int, upstream: str) -> list[charts.Object]:
    return charts.render(
        {
            "engine": "external",
            "external": {"urls": [upstream]},
            "listenAddress": "127.0.0.1",
            "gateway": {
                "containerPort": port,
                "config": {"graceful_timeout_s": 5},
                "policies": {"content": "policies: {ours: {extends: strict}}"},
                "apiKeys": {"keys": [f"app:{KEY}"]},
                "preStopSeconds": 0,
                # The Service's port, at which the pod of `helm test` asks, is that of the process here.
                "service": {"port": port},
            },
        }
    )


def ask(port: int, prompt: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        connection.request("POST", "/moderate", json.dumps({"prompt": prompt}), headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_the_gateway_serves_and_ends(tmp_path: Path, model_server: FakeServer) -> None:
    port = free_port()
    objects = release(port, model_server.url)
    workload = charts.deployment(objects, "gateway")
    with containment.started(objects, workload, "gateway", tmp_path) as running:
        running.wait_for("startupProbe")
        running.wait_for("readinessProbe")
        status = Path(f"/proc/{running.pid}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert facts["Uid"].split() == ["10001"] * 4
        assert facts["NSpid"].split()[-1] == "1"
        assert {facts[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
        assert facts["NoNewPrivs"] == "1"
        assert ask(port, "How can I make a bomb?")["safety"] == "unsafe"
        assert running.end(charts.pod_spec(workload)["terminationGracePeriodSeconds"]) == 0
    assert '"level": "warning"' not in running.log.read_text()


def test_what_is_not_a_volume_cannot_be_written(tmp_path: Path, model_server: FakeServer) -> None:
    objects = release(free_port(), model_server.url)
    workload = charts.deployment(objects, "gateway")
    charts.container(workload, "gateway")["command"] = ["sh", "-c"]
    script = "for d in / /app /etc/moderation /usr /tmp /dev/shm; do touch $d/x 2>/dev/null && echo $d; done; exit 0"
    code, output = containment.run(objects, workload, "gateway", tmp_path, script)
    assert (code, output.split()) == (0, ["/tmp", "/dev/shm"])


def test_helm_tests_pod_judges_the_service(tmp_path: Path, model_server: FakeServer) -> None:
    port = free_port()
    objects = release(port, model_server.url)
    with containment.started(objects, charts.deployment(objects, "gateway"), "gateway", tmp_path / "a") as running:
        running.wait_for("readinessProbe")
        pod = charts.find(objects, "Pod")
        arguments = charts.container(pod, "check")["args"]
        # There is no DNS for Services here.
        arguments[0] = f"http://127.0.0.1:{port}"
        code, output = containment.run(objects, pod, "check", tmp_path / "b")
    assert code == 0, output
    assert "Both verdicts are right." in output


def test_a_download_that_a_pod_is_told_to_end_ends_at_once_and_leaves_what_it_has(tmp_path: Path) -> None:
    """Process 1 of a namespace ignores SIGTERM unless it says otherwise; the pod would then wait for SIGKILL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    objects = charts.render({"vllm": {"model": {"endpoint": nobody}, "persistence": {"enabled": False}}})
    with containment.started(objects, charts.deployment(objects, "guard"), "download", tmp_path) as running:
        containment.wait_for_output(running, "trying again")
        running.send(signal.SIGTERM)
        assert running.process.wait(10) == 143
    assert (tmp_path / "volumes" / "models" / "huggingface").is_dir()
