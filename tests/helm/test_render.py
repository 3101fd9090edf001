"""The chart as Helm 3, Helm 4 and Kubernetes see it, with its default values, its presets and those of its tests."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import charts
import kube_checks
import kube_schemas
import pytest
import yaml
from charts import CHART, Object, render

import moderation_service

GOLDEN = Path(__file__).parent / "golden"
FILES = charts.values_files()
with_every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def values_of(file: Path) -> Object:
    return {} if file.name == "values.yaml" else charts.read_values(file)


@pytest.mark.parametrize("major", [3, 4])
@with_every_file
def test_helm_finds_nothing_to_complain_about(major: int, file: Path) -> None:
    done = charts.helm(major, "lint", "--strict", str(CHART), "--values", str(file), check=False)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@with_every_file
def test_helm_3_and_helm_4_and_the_library_render_the_same(file: Path) -> None:
    rendered = charts.without_random(render(values_of(file)))
    assert charts.without_random(charts.template(3, "--values", str(file))) == rendered
    assert charts.without_random(charts.template(4, "--values", str(file))) == rendered


@pytest.mark.parametrize("version", kube_schemas.VERSIONS)
@with_every_file
def test_kubernetes_knows_every_field(file: Path, version: str) -> None:
    assert list(kube_schemas.problems(render(values_of(file)), version)) == []


@with_every_file
def test_the_operators_know_every_field_of_their_resources(file: Path) -> None:
    assert list(kube_schemas.custom_problems(render(values_of(file)))) == []


@with_every_file
@pytest.mark.parametrize("name", ["rel", "9", "true", "a" * 53, "moderation-service", "x.y"])
def test_the_objects_fit_together_whatever_the_release_is_called(file: Path, name: str) -> None:
    values = values_of(file)
    assert kube_checks.problems(render(values, name=name), charts.named_in(values)) == []


def without_files(objects: list[Object]) -> list[Object]:
    """Without what is a file of the chart as it is; other tests compare that."""
    for one in objects:
        if one["kind"] == "PrometheusRule":
            one["spec"] = "FILE"
        for name in one.get("data", {}):
            if name in ("moderation-service.json", "check_verdicts.py"):
                one["data"][name] = "FILE"
    return objects


@pytest.mark.parametrize("file", [FILES[0], *CHART.glob("ci/*.yaml")], ids=lambda file: file.stem)
def test_the_objects_are_those_that_were_looked_at(file: Path, request: pytest.FixtureRequest) -> None:
    golden = GOLDEN / f"{file.stem}.yaml"
    rendered = without_files(charts.without_random(render(values_of(file))))
    if request.config.getoption("--write-golden", default=False):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(yaml.safe_dump_all(rendered, allow_unicode=True, width=120), encoding="utf-8")
    assert charts.load(golden.read_text(encoding="utf-8")) == rendered, (
        "if this is meant: tests/helm/run.sh --write-golden"
    )


@pytest.mark.parametrize("major", [3, 4])
def test_the_package_renders_the_same_and_leaves_out_what_only_tests_need(major: int, tmp_path: Path) -> None:
    charts.helm(major, "package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.iterdir()
    values = CHART / "ci" / "full.yaml"
    from_package = charts.template(major, "--values", str(values), path=package)
    assert charts.without_random(from_package) == charts.without_random(charts.template(major, "--values", str(values)))
    assert "ci/full.yaml" not in charts.helm(major, "show", "all", str(package)).stdout


def test_the_versions_are_those_of_the_service() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["appVersion"] == moderation_service.__version__
    assert "dependencies" not in about
    gateway = charts.container(charts.deployment(render(), "gateway"), "gateway")
    assert gateway["image"] == f"moderation-service:{moderation_service.__version__}"


def test_a_digest_wins_over_a_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    objects = render({"vllm": {"image": {"digest": digest}}, "gateway": {"image": {"digest": digest}}})
    images = {one["image"] for work in kube_checks.workloads(objects) for one in kube_checks.containers(work)}
    assert images == {f"moderation-service@{digest}", f"vllm/vllm-openai@{digest}"}


# What starts pods again, and what does not


def checksums(values: Object, component: str = "gateway") -> Object:
    found: Object = charts.deployment(render(values), component)["spec"]["template"]["metadata"]["annotations"]
    return found


FIXED = {"gateway": {"apiKeys": {"keys": ["app:0123456789"]}}, "vllm": {"apiKey": {"value": "abcdefgh"}}}


@pytest.mark.parametrize(
    ("change", "checksum"),
    [
        ({"gateway": {"config": {"workers": 3}, **FIXED["gateway"]}}, "checksum/config"),
        ({"gateway": {"policies": {"content": "policies: {}"}, **FIXED["gateway"]}}, "checksum/policies"),
        ({"gateway": {"apiKeys": {"keys": ["app:9876543210"]}}}, "checksum/api-keys"),
        ({"vllm": {"apiKey": {"value": "ijklmnop"}}}, "checksum/guard-key"),
    ],
    ids=["setting", "policy", "callers' key", "vLLM's key"],
)
def test_what_is_read_at_the_start_starts_the_pods_again_when_it_changes(change: Object, checksum: str) -> None:
    before, after = checksums(FIXED), checksums({**FIXED, **change})
    assert before[checksum] != after[checksum]
    assert checksums(FIXED) == before


def test_vllm_starts_again_for_its_key_and_for_nothing_of_the_gateway() -> None:
    before = checksums(FIXED, "guard")
    assert checksums({**FIXED, "gateway": {"config": {"workers": 3}}}, "guard") == before
    assert checksums({**FIXED, "vllm": {"apiKey": {"value": "ijklmnop"}}}, "guard") != before


def secret(objects: list[Object], name: str, key: str) -> str:
    return base64.b64decode(charts.find(objects, "Secret", name)["data"][key]).decode()


def test_keys_that_are_made_are_long_and_random_and_known_to_the_checksums() -> None:
    objects, others = render(), render()
    keys, key = secret(objects, "-api-keys", "api-keys"), secret(objects, "-guard-key", "api-key")
    assert keys.startswith("default:")
    assert len(keys) == len("default:") + 40
    assert len(key) == 40
    assert keys != secret(others, "-api-keys", "api-keys")
    annotations = charts.deployment(objects, "gateway")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["checksum/api-keys"] == hashlib.sha256(keys.encode()).hexdigest()
    assert annotations["checksum/guard-key"] == hashlib.sha256(key.encode()).hexdigest()


def test_both_sides_take_vllms_key_from_the_same_secret() -> None:
    for values in ({}, {"vllm": {"apiKey": {"existingSecret": "mine", "existingSecretKey": "k"}}}):
        objects = render(values)

        def reference(component: str, name: str, variable: str, objects: Any = objects) -> Object:
            env = charts.container(charts.deployment(objects, component), name)["env"]
            (found,) = [one["valueFrom"]["secretKeyRef"] for one in env if one["name"] == variable]
            return dict(found)

        mine = reference("gateway", "gateway", "MODERATION_UPSTREAM_API_KEY")
        assert mine == reference("guard", "vllm", "VLLM_API_KEY")
    assert mine == {"name": "mine", "key": "k"}


# What stays, and who may reach whom


def test_the_model_stays_when_the_release_goes() -> None:
    claim = charts.find(render(), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    gone = charts.find(render({"vllm": {"persistence": {"keep": False}}}), "PersistentVolumeClaim")
    assert "annotations" not in gone["metadata"]


def test_vllm_may_call_nobody_when_there_is_nothing_to_download() -> None:
    policy = charts.find(render(charts.read_values(CHART / "ci" / "offline.yaml")), "NetworkPolicy", "-guard")
    ports = {(port["port"], port["protocol"]) for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert ports == {(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")}


def test_an_address_in_a_setting_may_be_called() -> None:
    def others(values: Object) -> list[Object]:
        policy = charts.find(render(values), "NetworkPolicy", "moderation-service")
        return [rule for rule in policy["spec"]["egress"] if rule["ports"] == [{"protocol": "TCP"}]]

    assert others({"engine": "lite"}) == []
    assert others({"engine": "lite", "gateway": {"config": {"chat_upstream": "https://chat.example.org"}}}) != []
    collector = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}]
    assert others({"engine": "lite", "gateway": {"extraEnv": collector}}) != []
    loud = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "HTTP://collector:4318"}]
    assert others({"engine": "lite", "gateway": {"extraEnv": loud}}) != []
    assert others({"engine": "lite", "gateway": {"config": {"chat_upstream": "HTTPS://chat.example.org"}}}) != []
    memory = [{"name": "MODERATION_CLUSTER_MEMORY", "value": "redis://valkey:6379/0"}]
    assert others({"engine": "lite", "gateway": {"extraEnv": memory}}) != []
    assert others({"engine": "external", "external": {"urls": ["http://guard:8000"]}}) != []
    unknown = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]
    assert others({"engine": "lite", "gateway": {"extraEnv": unknown}}) != []
    assert others({"engine": "lite", "gateway": {"extraEnvFrom": [{"secretRef": {"name": "a"}}]}}) != []
    key = [{"name": "MODERATION_CHAT_API_KEY", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]
    assert others({"engine": "lite", "gateway": {"extraEnv": key}}) == []
    narrow = {"gateway": {"egress": [{"ports": [{"port": 8000, "protocol": "TCP"}]}]}}
    assert others({"engine": "external", "external": {"urls": ["http://g:80"]}, "networkPolicy": narrow}) == []


def test_a_download_through_a_proxy_may_leave_by_any_port() -> None:
    def ports(values: Object) -> list[Object]:
        policy = charts.find(render({"vllm": {"model": values}}), "NetworkPolicy", "-guard")
        return [port for rule in policy["spec"]["egress"] for port in rule["ports"] if port.get("port") != 53]

    assert ports({}) == [{"port": 443, "protocol": "TCP"}]
    assert ports({"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]}) == [{"protocol": "TCP"}]
    assert ports({"extraEnv": [{"name": "NO_PROXY", "value": "a"}]}) == [{"port": 443, "protocol": "TCP"}]


def test_what_is_not_wanted_is_not_there() -> None:
    kinds = {one["kind"] for one in render({"engine": "lite", "tests": {"enabled": False}})}
    assert kinds == {
        "Deployment",
        "Service",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "NetworkPolicy",
        "PodDisruptionBudget",
    }
    assert not any(one["metadata"]["name"].endswith("-guard") for one in render({"engine": "lite"}))


# Monitoring


FULL = charts.read_values(CHART / "ci" / "full.yaml")


def test_the_alerts_arrive_as_they_were_written() -> None:
    written = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    spec = charts.find(render(FULL), "PrometheusRule")["spec"]
    assert spec["groups"][:-1] == written["groups"]


def test_an_installation_that_is_gone_for_good_goes_on_alerting() -> None:
    (rule,) = charts.find(render(FULL), "PrometheusRule")["spec"]["groups"][-1]["rules"]
    assert (rule["alert"], rule["labels"]["severity"]) == ("ModerationGone", "critical")
    assert rule["expr"] == 'absent(moderation_build_info{namespace="guards"})'


def test_every_alert_leads_to_the_page_that_is_named() -> None:
    base = "https://git.example.org/guard/blob/main"
    values = {**FULL, "metrics": {"prometheusRule": {"enabled": True, "runbookBase": f"{base}/"}}}
    groups = charts.find(render(values), "PrometheusRule")["spec"]["groups"]
    urls = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]]
    assert len(urls) > 10
    assert all(url.startswith(f"{base}/docs/operations.md#") for url in urls)


def test_the_dashboard_arrives_as_it_was_written() -> None:
    config = charts.find(render(FULL), "ConfigMap", "-dashboard")
    written = (CHART / "files" / "dashboard.json").read_text(encoding="utf-8")
    assert json.loads(config["data"]["moderation-service.json"]) == json.loads(written)
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def settings(values: Object) -> Object:
    config = charts.find(render(values), "ConfigMap", "-config")
    return dict(yaml.safe_load(config["data"]["config.yaml"]))


def test_metrics_are_open_only_when_prometheus_is_given_no_key() -> None:
    monitor = {"metrics": {"serviceMonitor": {"enabled": True}}, "engine": "lite"}
    assert "open_metrics" not in settings({})
    assert settings(monitor)["open_metrics"] is True
    with_key = {"serviceMonitor": {"enabled": True, "existingSecret": "s"}}
    assert "open_metrics" not in settings({"metrics": with_key, "engine": "lite"})
    assert settings({"metrics": {"podMonitor": {"enabled": True}}, "engine": "lite"})["open_metrics"] is True
    assert settings({**monitor, "gateway": {"config": {"open_metrics": False}}})["open_metrics"] is False


# What is said after the installation


def test_the_notes_say_how_to_get_a_key_and_how_to_check() -> None:
    text = charts.notes()
    assert "kubectl -n guards get secret rel-moderation-service-api-keys" in text
    assert "helm test rel -n guards --logs" in text
    assert "WARNING" not in text


def test_the_notes_warn_of_an_open_service_and_of_the_embedded_engine() -> None:
    assert "WARNING: no API keys" in charts.notes({"gateway": {"apiKeys": {"enabled": False}}})
    assert "no security boundary" in charts.notes({"engine": "lite"})


SHARED = {"accessModes": ["ReadWriteMany"]}


def service_of_pods(objects: list[Object]) -> Object:
    (found,) = [one for one in objects if one["kind"] == "Service" and one["metadata"]["name"].endswith("-guard-pods")]
    return found


def test_the_gateway_asks_each_pod_by_an_address_of_its_own() -> None:
    objects = render({"engine": "vllm", "vllm": {"replicas": 3, "persistence": SHARED}})
    headless = service_of_pods(objects)
    config = next(one for one in objects if one["kind"] == "ConfigMap" and "config.yaml" in one["data"])
    (upstream,) = yaml.safe_load(config["data"]["config.yaml"])["upstreams"]
    (container,) = charts.deployment(objects, "guard")["spec"]["template"]["spec"]["containers"]
    assert headless["spec"]["clusterIP"] == "None"
    assert upstream == f"http://{headless['metadata']['name']}:{container['ports'][0]['containerPort']}?resolve=all"


def test_the_pods_behind_a_name_of_the_users_own_are_asked_in_the_same_way() -> None:
    url = "http://guard-pods.models.svc:8000?resolve=all"
    objects = render({"engine": "external", "external": {"urls": [url]}})
    config = next(one for one in objects if one["kind"] == "ConfigMap" and "config.yaml" in one["data"])
    assert yaml.safe_load(config["data"]["config.yaml"])["upstreams"] == [url]


@pytest.mark.parametrize(
    ("values", "strategy"),
    [
        ({}, {"type": "Recreate"}),
        ({"replicas": 2}, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        (
            {"autoscaling": {"enabled": True, "serverAddress": "http://prometheus:9090"}},
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        ),
        (
            {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%"}}},
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%"}},
        ),
    ],
    ids=["one", "two", "autoscaled", "given"],
)
def test_one_replica_is_stopped_first_and_several_are_replaced_one_by_one(values: Object, strategy: Object) -> None:
    reachable = {"vllm": {"from": [{"namespaceSelector": {}}]}}
    objects = render({"engine": "vllm", "vllm": {"persistence": SHARED, **values}, "networkPolicy": reachable})
    guard = charts.deployment(objects, "guard")
    assert guard["spec"]["strategy"] == strategy


# What platforms ask for


def test_containers_host_names_and_the_strategy_are_those_given() -> None:
    beside = [{"name": "beside", "image": "registry.example.org/beside:1"}]
    before = [{"name": "before", "image": "registry.example.org/before:1"}]
    alias = [{"ip": "10.0.0.1", "hostnames": ["guard.internal"]}]
    part = {"extraContainers": beside, "extraInitContainers": before, "hostAliases": alias}
    part["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "50%"}}
    objects = render({"gateway": part, "vllm": part})
    for component, first in (("gateway", []), ("guard", ["download"])):
        deployment = charts.deployment(objects, component)["spec"]
        pod = deployment["template"]["spec"]
        assert [one["name"] for one in pod["containers"]][1:] == ["beside"]
        assert [one["name"] for one in pod["initContainers"]] == ["before", *first]
        assert (pod["hostAliases"], deployment["strategy"]) == (alias, part["strategy"])


def test_the_service_has_what_load_balancers_and_two_families_need() -> None:
    service = {
        "type": "LoadBalancer",
        "loadBalancerSourceRanges": ["203.0.113.0/24"],
        "ipFamilyPolicy": "PreferDualStack",
        "ipFamilies": ["IPv6", "IPv4"],
        "sessionAffinitySeconds": 600,
    }
    spec = charts.find(render({"gateway": {"service": service}}), "Service", "moderation-service")["spec"]
    assert spec["loadBalancerSourceRanges"] == ["203.0.113.0/24"]
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("PreferDualStack", ["IPv6", "IPv4"])
    assert spec["sessionAffinity"] == "ClientIP"
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 600}}
    assert "sessionAffinity" not in charts.find(render(), "Service", "moderation-service")["spec"]


@pytest.mark.parametrize(
    ("budget", "spec"),
    [
        ({"maxUnavailable": "30%"}, {"maxUnavailable": "30%"}),
        ({"minAvailable": 2}, {"minAvailable": 2}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
        ({}, {"maxUnavailable": 1}),
    ],
    ids=str,
)
def test_a_disruption_budget_is_a_number_or_a_share(budget: Object, spec: Object) -> None:
    found = charts.find(render({"gateway": {"podDisruptionBudget": budget}}), "PodDisruptionBudget")["spec"]
    found.pop("selector")
    assert found == spec


def test_an_ingress_may_be_for_any_host_and_say_how_its_path_is_compared() -> None:
    hosts = [{"path": "/guard", "pathType": "Exact"}, {"host": "a.example.org"}]
    objects = render({"gateway": {"ingress": {"enabled": True, "hosts": hosts}}})
    (first, second) = charts.find(objects, "Ingress")["spec"]["rules"]
    assert "host" not in first
    assert (first["http"]["paths"][0]["path"], first["http"]["paths"][0]["pathType"]) == ("/guard", "Exact")
    assert (second["host"], second["http"]["paths"][0]["pathType"]) == ("a.example.org", "Prefix")


def test_pods_are_monitored_where_prometheus_has_no_services() -> None:
    objects = render({"engine": "lite", "metrics": {"podMonitor": {"enabled": True, "existingSecret": "scraper"}}})
    monitor = charts.find(objects, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    labels = charts.deployment(objects, "gateway")["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert (endpoint["port"], endpoint["authorization"]["credentials"]["name"]) == ("http", "scraper")


def test_the_service_is_scaled_by_the_requests_that_it_holds() -> None:
    prometheus = {"serverAddress": "http://prometheus:9090", "targetRequestsInFlight": 20}
    scaling = {"enabled": True, "by": "requests", **prometheus}
    objects = render({"engine": "lite", "gateway": {"autoscaling": scaling}})
    assert not [one for one in objects if one["kind"] == "HorizontalPodAutoscaler"]
    spec = charts.find(objects, "ScaledObject")["spec"]
    (trigger,) = spec["triggers"]
    assert "fallback" not in spec
    assert "replicas" not in charts.deployment(objects, "gateway")["spec"]
    assert trigger["metadata"]["threshold"] == "20"
    labels = 'namespace="guards",job="rel-moderation-service"'
    assert trigger["metadata"]["query"] == f"sum(moderation_requests_in_flight{{{labels}}})"
