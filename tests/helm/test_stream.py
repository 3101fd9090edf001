"""Qwen3Guard-Stream in the chart: its server, who reaches it, and the files that the service needs of the model."""

from __future__ import annotations

import copy
import hashlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import charts
import kube_checks
import pods
import pytest
from charts import CHART, Object, render
from fake_stream_server import FakeStreamServer, write_model_dir
from processes import free_port

MODEL = "Qwen/Qwen3Guard-Stream-0.6B"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ON: Object = {"stream": {"enabled": True}}
VALUES = charts.read_values(CHART / "ci" / "stream.yaml")


def egress(values: Object) -> list[Any]:
    """What the service may call: components, and ports where no component is named."""
    policy = charts.find(render(values), "NetworkPolicy", "moderation-service")
    return [
        rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        if "to" in rule
        else rule["ports"][-1].get("port", "any")
        for rule in policy["spec"]["egress"]
    ]


def names(values: Object) -> set[str]:
    return {one["metadata"]["name"] for one in render(values)}


# Its server


def test_it_is_not_there_unless_it_is_asked_for() -> None:
    assert not any("stream" in name for name in names({}))
    assert {"rel-moderation-service-stream", "rel-moderation-service-stream-models"} <= names(ON)


def test_a_server_that_runs_elsewhere_is_not_started_here() -> None:
    values = charts.read_values(CHART / "ci" / "stream-external.yaml")
    assert not any(name.endswith("-stream") for name in names(values))


def test_gen_is_the_same_with_and_without_it() -> None:
    fixed = {"vllm": {"apiKey": {"value": "abcdefgh"}}}
    assert charts.deployment(render(fixed), "guard") == charts.deployment(render({**fixed, **ON}), "guard")


def test_vllm_is_started_for_it_as_up_starts_it() -> None:
    from moderation_service.launch.command_line import vllm_command
    from moderation_service.launch.gpu import Gpu
    from moderation_service.launch.plan import Wishes
    from moderation_service.launch.stream import STREAM_FLAGS, STREAM_GUARDS, plan_pair_gpu

    gpu = Gpu(index=0, name="card", uuid="GPU-1", total_mib=24162, free_mib=24162)
    _, plan = plan_pair_gpu([gpu], Wishes(), stream=STREAM_GUARDS[-1])
    theirs = vllm_command(plan, program="vllm", model=Path("/models"), port=8000, extra=STREAM_FLAGS).argv
    ours = charts.container(charts.deployment(render(ON), "stream"), "vllm")
    told = {**flags(list(theirs[3:])), "--host": "0.0.0.0", "--gpu-memory-utilization": "0.9"}
    assert flags(ours["args"]) == told


def flags(words: list[str]) -> dict[str, str]:
    found, name = {}, ""
    for word in words:
        name, value = (word, "") if word.startswith("--") else (name, word)
        found[name] = value
    return found


def test_its_image_is_the_one_with_the_plugin() -> None:
    image = charts.container(charts.deployment(render(ON), "stream"), "vllm")["image"]
    assert image == "moderation-vllm-stream:0.1.0"


def test_an_answer_stays_on_the_server_that_has_its_beginning() -> None:
    services = charts.by_identity(render(ON))
    assert services["Service", "rel-moderation-service-stream"]["spec"]["sessionAffinity"] == "ClientIP"
    assert "sessionAffinity" not in services["Service", "rel-moderation-service-guard"]["spec"]


# Who reaches whom

OPENED: dict[str, Callable[[list[Object]], Any]] = {
    "open to everybody": lambda o: charts.find(o, "NetworkPolicy", "-stream")["spec"]["ingress"][0].pop("from"),
    "closed to the gateway": lambda o: charts.find(o, "NetworkPolicy", "-stream")["spec"]["ingress"][0]["from"].pop(0),
    "not to be called by the gateway": lambda o: charts.find(o, "NetworkPolicy", "service")["spec"]["egress"].pop(2),
    "selected by Gen's Service": lambda o: charts.find(o, "Service", "-guard")["spec"]["selector"].pop(
        "app.kubernetes.io/component"
    ),
}


@pytest.mark.parametrize("defect", OPENED)
def test_the_checks_find_a_stream_server_that_is(defect: str) -> None:
    objects = render(VALUES)
    assert kube_checks.problems(objects, charts.named_in(VALUES)) == []
    broken = copy.deepcopy(objects)
    OPENED[defect](broken)
    assert kube_checks.problems(broken, charts.named_in(VALUES)) != []


def test_the_service_may_reach_it_and_the_hub_while_it_fetches_the_files() -> None:
    assert egress(ON) == [53, "guard", "stream", 443]
    mirror = {"enabled": True, "model": {"endpoint": "https://mirror.example.org:8443"}}
    assert egress({"stream": mirror}) == [53, "guard", "stream", 8443]
    assert egress({"stream": {"enabled": True, "files": {"existingClaim": "a"}}}) == [53, "guard", "stream"]
    elsewhere = {"enabled": True, "externalUrl": "http://a:8000", "files": {"existingClaim": "a"}}
    assert egress({"engine": "lite", "stream": elsewhere}) == [53, "any"]


def test_the_notes_say_that_only_the_network_policy_protects_it() -> None:
    assert "only the NetworkPolicy does" in charts.notes(ON)
    assert "WARNING" not in charts.notes(ON)
    open_one = {**ON, "networkPolicy": {"enabled": False}}
    assert "WARNING: there is no NetworkPolicy. Every pod" in charts.notes(open_one)
    assert "NetworkPolicy" not in charts.notes()


# The files that the service needs, and the service with them


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """A mirror of Hugging Face that has the model; its weights can't be had."""
    folder = write_model_dir(tmp_path / "hub")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Nobody reads it."""

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            if self.path.startswith(f"/api/models/{MODEL}/revision/main"):
                listed = {**files, "model.safetensors": b""}
                found = [
                    {
                        "rfilename": name,
                        "size": len(text),
                        "blobId": hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest(),
                    }
                    for name, text in listed.items()
                ]
                return self.answer(200, json.dumps({"sha": COMMIT, "siblings": found}).encode())
            return self.answer(200, files[name]) if name in files else self.answer(500, b"")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def upstream() -> Iterator[FakeStreamServer]:
    with FakeStreamServer() as server:
        yield server


def ask(port: int, **body: object) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", "/moderate/stream", json.dumps(body), headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def values_for(port: int, **stream: object) -> Object:
    return {
        "engine": "lite",
        "listenAddress": "127.0.0.1",
        "gateway": {"containerPort": port, "apiKeys": {"enabled": False}, "preStopSeconds": 0},
        "stream": {"enabled": True, **stream},
    }


def assert_judges_by_token(objects: list[Object], folder: Path, port: int, **replace: str) -> None:
    workload = charts.deployment(objects, "gateway")
    gateway = pods.make(objects, workload, "gateway", folder / "pod", replace=replace)
    with gateway.started(folder / "log") as running:
        running.wait_for("readinessProbe")
        reply = ask(port, id="a", prompt="How?", response="Take the detonator and the detonator.", final=True)
        assert running.end(60) == 0
    assert (reply["granularity"], reply["safety"]) == ("token", "unsafe"), (reply, running.log.read_text())


def test_the_pod_fetches_the_files_and_then_judges_by_token(
    tmp_path: Path, hub: str, upstream: FakeStreamServer
) -> None:
    port = free_port()
    objects = render(values_for(port, model={"endpoint": hub}))
    workload = charts.deployment(objects, "gateway")
    done = pods.make(objects, workload, "stream-files", tmp_path / "pod").run()
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("pod/**/*.safetensors"))
    service = {"http://rel-moderation-service-stream:8000": upstream.url}
    assert_judges_by_token(objects, tmp_path, port, **service)


def test_the_files_may_lie_on_a_volume_and_the_server_run_elsewhere(tmp_path: Path, upstream: FakeStreamServer) -> None:
    port = free_port()
    files = {"volume": {"hostPath": {"path": "/srv/models"}}, "path": "stream/0.6B"}
    objects = render(values_for(port, externalUrl=upstream.url, files=files))
    assert "initContainers" not in charts.pod_spec(charts.deployment(objects, "gateway"))
    write_model_dir(tmp_path / "pod" / "volumes" / "stream-files" / "stream" / "0.6B")
    assert_judges_by_token(objects, tmp_path, port)


def test_a_key_of_a_server_elsewhere_comes_from_its_secret() -> None:
    objects = render(charts.read_values(CHART / "ci" / "stream-external.yaml"))
    env = charts.container(charts.deployment(objects, "gateway"), "gateway")["env"]
    (entry,) = [one for one in env if one["name"] == "MODERATION_STREAM_API_KEY"]
    assert entry["valueFrom"]["secretKeyRef"] == {"name": "stream-key", "key": "token"}


@pytest.mark.parametrize("source", ["huggingface", "modelscope"])
@pytest.mark.parametrize("revision", ["", "v1.0", "feature/x"])
def test_the_files_are_fetched_to_where_the_service_looks_for_them(source: str, revision: str) -> None:
    from moderation_service.commands.download import download_command
    from moderation_service.launch.download import Downloader
    from moderation_service.launch.hub import Hub, Source
    from moderation_service.launch.progress import Console

    objects = render({"stream": {"enabled": True, "model": {"source": source, "revision": revision}}})
    arguments = charts.container(charts.deployment(objects, "gateway"), "stream-files")["args"]
    parsed = download_command.make_context("download", arguments[1:]).params
    hub = Hub(
        source=Source(parsed["source"]),
        repo=parsed["model"],
        revision=parsed["revision"],
        endpoint="https://hub.example.org",
        with_weights=not parsed["without_weights"],
    )
    downloader = Downloader(cache=Path("/var/lib/moderation/stream"), console=Console())
    config = charts.find(objects, "ConfigMap", "-config")["data"]["config.yaml"]
    assert f"stream_model_dir: {downloader.folder(hub)}\n" in config
    downloader.close()
