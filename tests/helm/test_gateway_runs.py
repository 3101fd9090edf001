"""The rendered gateway is started for real and treated as the kubelet treats it; so is the pod of `helm test`."""

from __future__ import annotations

import concurrent.futures
import json
import threading
import time
from pathlib import Path
from typing import Any

import charts
import pods
import pytest
import yaml
from charts import Object
from fake_guard_server import BOMB, BREAD, FakeServer, Request, answering, guard
from gateways import make_gateway, values
from helm_python import HelmError


def test_it_starts_becomes_ready_and_judges_by_its_policies(tmp_path: Path, model_server: FakeServer) -> None:
    gateway = make_gateway(tmp_path, model_server.url)
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("startupProbe")
        running.wait_for("readinessProbe")
        assert running.probe("livenessProbe")
        status, decision = gateway.ask("How can I make a bomb?")
        assert (status, decision["safety"], decision["engine"]) == (200, "unsafe", "vllm")
        assert (decision["policy"], decision["message"]) == ("school", "Ask a grown-up.")
        assert gateway.ask("bread", key="another-key")[0] == 401
        assert running.end(gateway.grace_s) == 0
    assert "warning" not in running.log.read_text().lower()


def test_the_counters_are_in_the_volume_for_them(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path, None)
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        assert list((gateway.container.places["/tmp"] / "metrics").glob("*.db"))
        assert running.end(gateway.grace_s) == 0


def test_while_the_model_server_is_away_it_is_alive_but_not_ready(tmp_path: Path, model_server: FakeServer) -> None:
    gateway = make_gateway(tmp_path, model_server.url)
    model_server.stop()
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("startupProbe")
        assert not running.probe("readinessProbe")
        assert running.probe("livenessProbe")
        model_server.start()
        running.wait_for("readinessProbe")


def test_it_can_be_kept_in_the_service_to_answer_by_its_fail_mode(tmp_path: Path, model_server: FakeServer) -> None:
    gateway = make_gateway(tmp_path, model_server.url, readiness="process")
    model_server.stop()
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        status, decision = gateway.ask("How can I make a bomb?")
        assert (status, decision["degraded"], decision["engine"]) == (200, True, "lite")


def test_a_pod_that_ends_under_load_loses_no_request(tmp_path: Path, model_server: FakeServer) -> None:
    """While preStop sleeps, new requests still arrive; those under way at SIGTERM are answered after it."""

    def behave(request: Request) -> Any:
        time.sleep(3 if "long" in json.dumps(request.body) else 0.05)
        return guard(request)

    gateway = make_gateway(tmp_path, model_server.url, preStopSeconds=3, config={"graceful_timeout_s": 60})
    left_the_service = threading.Event()

    def client(number: int) -> list[int]:
        statuses = []
        while not left_the_service.is_set():
            statuses.append(gateway.ask(f"How do I bake bread number {number}.{len(statuses)}?")[0])
        # The last ones are still under way when SIGTERM comes.
        return [*statuses, gateway.ask(f"How do I bake a long bread number {number}?")[0]]

    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        model_server.behave = behave
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            clients = [pool.submit(client, number) for number in range(16)]
            timer = threading.Timer(1, left_the_service.set)
            timer.start()
            code = running.end(gateway.grace_s)
            timer.join()
            statuses = [status for one in clients for status in one.result(30)]
    assert code == 0
    assert len(statuses) >= 32
    assert set(statuses) == {200}


def test_a_setting_that_does_not_exist_stops_the_start_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(HelmError, match=r"gateway\.config\.wrokers is no setting"):
        make_gateway(tmp_path, None, config={"wrokers": 4})


def test_a_bad_policy_stops_the_start_with_its_line(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path, None, config={}, policies={"content": "policies:\n  a: {extends: nobody}\n"})
    done = gateway.container.run()
    assert done.returncode == 1
    assert "policies.yaml:2: `extends`: no policy 'nobody'" in done.stderr


def test_numbers_arrive_in_the_settings_as_they_were_given(tmp_path: Path) -> None:
    given = {"max_body_bytes": 33554432, "deadline_s": 0.5, "cache_size": 10000000, "pages": False}
    gateway = make_gateway(tmp_path, None, config={**given, "default_policy": "strict"})
    shown = pods.Container(
        gateway.container.spec,
        [*pods.PROGRAMS["moderation-service"], "config", "show"],
        gateway.container.env,
        {},
    ).run()
    lines = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines()}
    assert lines["max_body_bytes"] == ["33554432", "file"]
    assert lines["deadline_s"] == ["0.5", "file"]
    assert lines["cache_size"] == ["10000000", "file"]
    assert lines["pages"] == ["false", "file"]


# helm test


@pytest.mark.parametrize("engine", ["vllm", "lite"])
def test_helm_test_passes_for_a_service_that_judges(tmp_path: Path, model_server: FakeServer, engine: str) -> None:
    gateway = make_gateway(tmp_path, model_server.url if engine == "vllm" else None)
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        done = gateway.helm_test()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Both verdicts are right."
    assert "bomb" not in done.stdout + done.stderr


def test_helm_test_fails_while_another_engine_answers(tmp_path: Path, model_server: FakeServer) -> None:
    gateway = make_gateway(tmp_path, model_server.url)
    model_server.stop()
    charts.container(charts.find(gateway.objects, "Pod"), "check")["args"][4] = "1"
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("startupProbe")
        done = gateway.helm_test()
    assert done.returncode == 1
    assert "FAILED: After 1 s there is still a verdict of lite, degraded=True, instead of one of vllm." in done.stderr


def test_helm_test_fails_without_a_service(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path, None)
    charts.container(charts.find(gateway.objects, "Pod"), "check")["args"][4] = "1"
    done = gateway.helm_test()
    assert done.returncode == 1
    assert "no answer: URLError" in done.stderr


def test_helm_test_fails_for_a_service_that_lets_everything_pass(tmp_path: Path, model_server: FakeServer) -> None:
    def careless(request: Request) -> Any:
        """Takes every question for one about bread."""
        body = json.loads(json.dumps(request.body).replace(BOMB, BREAD))
        return guard(Request(request.method, request.path, request.headers, body))

    model_server.behave = answering(careless)
    gateway = make_gateway(tmp_path, model_server.url)
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        done = gateway.helm_test()
    assert done.returncode == 1
    assert "The harmful prompt should be unsafe, not safe." in done.stderr


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["a:wrong-key-0123"], "FAILED: The key is not accepted (401)."),
        (["a:sha256:" + "0" * 64], "FAILED: There are only digests of keys"),
    ],
)
def test_helm_test_says_what_is_wrong_with_a_key(tmp_path: Path, keys: list[str], says: str) -> None:
    gateway = make_gateway(tmp_path, None)
    others = charts.render(values(gateway.port, None, apiKeys={"keys": keys}))
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        gateway.objects = [charts.find(others, "Secret") if one["kind"] == "Secret" else one for one in gateway.objects]
        done = gateway.helm_test()
    assert done.returncode == 1
    assert says in done.stderr


# The download, and vLLM's own command


def test_the_model_is_downloaded_to_where_vllm_looks_for_it(tmp_path: Path) -> None:
    from moderation_service.commands.download import download_command
    from moderation_service.launch.download import Downloader
    from moderation_service.launch.hub import Hub, Source
    from moderation_service.launch.progress import Console

    for source in ("huggingface", "modelscope"):
        for revision in ("", "v1.0", "feature/x"):
            given = {"model": {"source": source, "revision": revision, "name": "Qwen/Qwen3Guard-Gen-4B"}}
            workload = charts.deployment(charts.render({"vllm": given}), "guard")
            arguments = charts.container(workload, "download")["args"]
            assert arguments[0] == "download"
            parsed = download_command.make_context("download", arguments[1:]).params
            hub = Hub(
                source=Source(parsed["source"]),
                repo=parsed["model"],
                revision=parsed["revision"],
                endpoint="https://hub.example.org",
            )
            downloader = Downloader(cache=parsed["cache_dir"], console=Console())
            assert charts.container(workload, "vllm")["command"][2] == str(downloader.folder(hub))
            downloader.close()


PLANS = {
    # Preset and server: what CUDA sees of the card's MiB, the model, and what else is fixed in the plan.
    ("values-0.6b", "guard"): (8028, "0.6B", {}),
    ("values-4b-14gb", "guard"): (24162, "4B", {"memory_gib": 14.0, "context": 10240}),
    ("values-8b", "guard"): (24162, "8B", {}),
    ("values-cascade", "guard"): (24162, "8B", {}),
    ("values-cascade", "small"): (8028, "0.6B", {"context": 10240}),
}


@pytest.mark.parametrize(("preset", "component"), PLANS)
def test_a_preset_starts_vllm_as_up_would_on_that_card(preset: str, component: str) -> None:
    from moderation_service.launch.command_line import vllm_command
    from moderation_service.launch.gpu import Gpu
    from moderation_service.launch.guard import GUARDS
    from moderation_service.launch.plan import Wishes, plan_gpu

    memory, size, fixed = PLANS[preset, component]
    guard_model = next(one for one in GUARDS if one.size == size)
    gpu = Gpu(index=0, name="card", uuid="GPU-1", total_mib=memory, free_mib=memory)
    plan = plan_gpu([gpu], Wishes(guard=guard_model, **fixed))
    theirs = vllm_command(plan, program="vllm", model=Path("/models"), port=8000).argv
    workload = charts.deployment(charts.render(charts.read_values(charts.CHART / f"{preset}.yaml")), component)
    ours = charts.container(workload, "vllm")
    assert ours["command"][:2] == list(theirs[:2])
    assert flags(ours["args"]) == {**flags(list(theirs[3:])), "--host": "0.0.0.0"}


def flags(words: list[str]) -> dict[str, str]:
    """Flags with their values; those that are switches have none."""
    found, name = {}, ""
    for word in words:
        if word.startswith("--"):
            name = word
            found[name] = ""
        else:
            found[name] = word
    return found


def test_more_gpus_are_used_together_and_none_are_asked_of_a_cpu() -> None:
    def started(count: int) -> tuple[dict[str, str], Object]:
        vllm = charts.container(charts.deployment(charts.render({"vllm": {"gpu": {"count": count}}}), "guard"), "vllm")
        return flags(vllm["args"]), vllm["resources"]["limits"]

    assert "--tensor-parallel-size" not in started(1)[0]
    assert started(4)[0]["--tensor-parallel-size"] == "4"
    assert started(4)[1]["nvidia.com/gpu"] == 4
    assert "--gpu-memory-utilization" not in started(0)[0]
    assert "nvidia.com/gpu" not in started(0)[1]


def test_policies_keep_words_that_yaml_takes_for_truth_values() -> None:
    objects = charts.render(charts.read_values(charts.CHART / "ci" / "full.yaml"))
    text = charts.find(objects, "ConfigMap", "-policies")["data"]["policies.yaml"]
    assert "no: La oss snakke om noe annet." in text
    assert yaml.safe_load(text)
