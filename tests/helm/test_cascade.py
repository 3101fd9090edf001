"""Two models in one release: the small one's server, who reaches it, its key, and what cannot work."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import charts
import kube_checks
import kube_schemas
import pytest
import yaml
from charts import CHART, Object, render
from helm_python import HelmError

VALUES = charts.read_values(CHART / "ci" / "cascade.yaml")
PRESET = charts.read_values(CHART / "values-cascade.yaml")
Plant = Callable[[list[Object]], Any]


def settings(objects: list[Object]) -> Object:
    return dict(yaml.safe_load(charts.find(objects, "ConfigMap", "-config")["data"]["config.yaml"]))


def set_upstreams(objects: list[Object], **changed: Any) -> None:
    data = charts.find(objects, "ConfigMap", "-config")["data"]
    data["config.yaml"] = yaml.safe_dump({**settings(objects), **changed})


def vllm(objects: list[Object], component: str) -> Object:
    return charts.container(charts.deployment(objects, component), "vllm")


def reference(objects: list[Object], component: str, container: str, name: str) -> Object:
    env = charts.container(charts.deployment(objects, component), container)["env"]
    return next(one["valueFrom"]["secretKeyRef"] for one in env if one["name"] == name)


def argument(container: Object, flag: str) -> str:
    return str(container["args"][container["args"].index(flag) + 1])


# What there is


def test_it_is_not_there_unless_it_is_asked_for() -> None:
    assert not any(name.endswith(("-small", "-small-pods", "-small-key")) for _, name in charts.by_identity(render()))


def test_the_preset_runs_two_models_and_asks_each_pod_of_both() -> None:
    objects = render(PRESET)
    found = settings(objects)
    assert found["engine"] == "cascade"
    assert found["small_upstreams"] == ["http://rel-moderation-service-small-pods:8000?resolve=all"]
    assert found["upstreams"] == ["http://rel-moderation-service-guard-pods:8000?resolve=all"]
    names = [argument(vllm(objects, component), "--served-model-name") for component in ("small", "guard")]
    assert names == ["Qwen/Qwen3Guard-Gen-0.6B", "Qwen/Qwen3Guard-Gen-8B"]
    for component in ("small", "guard"):
        assert vllm(objects, component)["resources"]["limits"]["nvidia.com/gpu"] == 1
    check = charts.container(charts.find(objects, "Pod"), "check")["args"]
    assert check[check.index("--engine") + 1] == "cascade"
    assert "rollout status deployment/rel-moderation-service-small" in charts.notes(PRESET)


def test_each_model_has_a_key_of_its_own_that_the_service_sends_it() -> None:
    objects = render(PRESET)
    pairs = {"guard": "MODERATION_UPSTREAM_API_KEY", "small": "MODERATION_SMALL_UPSTREAM_API_KEY"}
    asked = {one: reference(objects, one, "vllm", "VLLM_API_KEY") for one in pairs}
    assert asked == {one: reference(objects, "gateway", "gateway", sent) for one, sent in pairs.items()}
    assert asked["guard"] != asked["small"]
    secrets = charts.by_identity(objects)
    values = [secrets["Secret", one["name"]]["data"][one["key"]] for one in asked.values()]
    assert len(set(values)) == 2


@pytest.mark.parametrize("engine", ["vllm", "external"])
def test_it_differs_in_nothing_but_its_values_from_a_vllm_of_its_own(engine: str) -> None:
    """What is known of the larger one's server (probes, rights, volumes) holds for this one too."""
    small = {**charts.read_values(CHART / "values.yaml")["small"], "enabled": True}
    same = {name: value for name, value in small.items() if name not in ("enabled", "urls", "model")}
    external = {"urls": ["http://large:8000"], "apiKey": {"existingSecret": "large"}}
    fixed = {"apiKey": {**small["apiKey"], "value": "abcdefgh"}}
    values = {"engine": engine, "external": external, "small": {"enabled": True, **fixed}}
    with_it = render({**values, "vllm": {"model": {"name": "Qwen/Qwen3Guard-Gen-8B"}}})
    alone = render({"vllm": {**same, **fixed, "model": small["model"]}})
    ours, theirs = charts.deployment(with_it, "small"), charts.deployment(alone, "guard")
    assert yaml.safe_dump(ours) == yaml.safe_dump(theirs).replace("-guard", "-small").replace(
        "component: guard", "component: small"
    ).replace("checksum/guard-key", "checksum/small-key")


def test_the_larger_model_is_the_same_with_and_without_it() -> None:
    fixed = {"vllm": {**PRESET["vllm"], "apiKey": {"value": "abcdefgh"}}}
    both, alone = render({**PRESET, **fixed}), render(fixed)
    assert charts.deployment(both, "guard") == charts.deployment(alone, "guard")


def test_it_can_be_added_to_an_installation_and_nothing_there_is_replaced_that_kubernetes_keeps() -> None:
    before, after = charts.by_identity(render({"vllm": PRESET["vllm"]})), charts.by_identity(render(PRESET))
    assert before.keys() <= after.keys()
    assert {name for _, name in after.keys() - before.keys()} == {
        f"rel-moderation-service-small{suffix}" for suffix in ("", "-key", "-models", "-pods")
    }
    for which, one in before.items():
        if which[0] in ("Deployment", "PersistentVolumeClaim"):
            assert one["spec"].get("selector") == after[which]["spec"].get("selector")
    for one in (before, after):
        strategy = one["Deployment", "rel-moderation-service"]["spec"]["strategy"]
        assert strategy["type"] == "RollingUpdate"


def test_with_one_replica_the_old_one_goes_first_and_with_more_one_after_the_other() -> None:
    single, several = render(PRESET), render(VALUES)
    assert charts.deployment(single, "small")["spec"]["strategy"] == {"type": "Recreate"}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert charts.deployment(several, "small")["spec"]["strategy"] == rolling


def test_a_key_that_was_made_is_written_into_both_sides_and_starts_them_again_when_it_changes() -> None:
    def checksums(key: str) -> list[str]:
        objects = render({**PRESET, "small": {"enabled": True, "apiKey": {"value": key}}})
        pods = [charts.deployment(objects, component)["spec"]["template"] for component in ("small", "gateway")]
        return [pod["metadata"]["annotations"]["checksum/small-key"] for pod in pods]

    first, second = checksums("abcdefgh"), checksums("ijklmnop")
    assert first[0] == first[1] != second[0] == second[1]


def test_two_keys_are_taken_while_one_is_replaced() -> None:
    key = {"existingSecret": "small-2027", "alsoAccept": {"existingSecret": "small-2026"}}
    server = vllm(render({**PRESET, "small": {"enabled": True, "apiKey": key}}), "small")
    at = server["args"].index("--api-key")
    assert server["args"][at + 1 : at + 3] == ["$(VLLM_API_KEY)", "$(ALSO_ACCEPTED_API_KEY)"]
    given = {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in server["env"] if "valueFrom" in one}
    assert given == {"VLLM_API_KEY": "small-2027", "ALSO_ACCEPTED_API_KEY": "small-2026"}


def test_it_runs_on_a_cpu_too() -> None:
    cpu = {"enabled": True, "gpu": {"count": 0}, "image": {"repository": "vllm-cpu", "tag": "v1"}}
    server = vllm(render({**PRESET, "small": cpu}), "small")
    assert "nvidia.com/gpu" not in server["resources"]["limits"]
    assert "--gpu-memory-utilization" not in server["args"]


# Who reaches whom, and what scales and watches it

DEFECTS: dict[str, Plant] = {
    "is open to everybody": lambda o: charts.find(o, "NetworkPolicy", "-small")["spec"]["ingress"][0].pop("from"),
    "is closed to the gateway": lambda o: charts.find(o, "NetworkPolicy", "-small")["spec"]["ingress"][0]["from"].pop(
        0
    ),
    "may not be called by the gateway": lambda o: charts.find(o, "NetworkPolicy", "service")["spec"]["egress"].pop(1),
    "has no policy for its way out": lambda o: charts.find(o, "NetworkPolicy", "-small")["spec"].update(
        policyTypes=["Ingress"]
    ),
    "is asked at an address that is not there": lambda o: set_upstreams(
        o, small_upstreams=["http://rel-small-podz:8000?resolve=all"]
    ),
    "is asked as one address": lambda o: set_upstreams(
        o, small_upstreams=["http://rel-moderation-service-small-pods:8000"]
    ),
    "is asked on a port of the Service, not of the pods": lambda o: set_upstreams(
        o, small_upstreams=["http://rel-moderation-service-small-pods:80?resolve=all"]
    ),
    "is asked by nobody": lambda o: set_upstreams(o, small_upstreams=[]),
    "has an address of other pods": lambda o: charts.find(o, "Service", "-small-pods")["spec"]["selector"].update(
        {"app.kubernetes.io/component": "gateway"}
    ),
    "gets the key of another server": lambda o: reference(
        o, "gateway", "gateway", "MODERATION_SMALL_UPSTREAM_API_KEY"
    ).update(name="large-key", key="api-key"),
    "has a key that is not there": lambda o: o.remove(charts.find(o, "Secret", "-small-key")),
    "has a budget of the gateway's pods": lambda o: charts.find(o, "PodDisruptionBudget", "-small")["spec"]["selector"][
        "matchLabels"
    ].update({"app.kubernetes.io/component": "gateway"}),
    "is scaled and has replicas": lambda o: charts.deployment(o, "small")["spec"].update(replicas=2),
    "is scaled down to nothing": lambda o: charts.find(o, "ScaledObject", "-small")["spec"].update(minReplicaCount=0),
    "is monitored and shut": lambda o: charts.find(o, "NetworkPolicy", "-small")["spec"]["ingress"][0]["from"].pop(),
    "has half a GPU": lambda o: [
        vllm(o, "small")["resources"][side].update({"nvidia.com/mig-1g.10gb": "0.5"}) for side in ("limits", "requests")
    ],
    "stops all of its pods at once": lambda o: charts.deployment(o, "small")["spec"].update(
        strategy={"type": "Recreate"}
    ),
    "has a volume of one node": lambda o: charts.find(o, "PersistentVolumeClaim", "-small-models")["spec"].update(
        accessModes=["ReadWriteOnce"]
    ),
    "may be killed before its model is there": lambda o: charts.deployment(o, "small")["spec"].update(
        progressDeadlineSeconds=600
    ),
    "may be root": lambda o: charts.pod_spec(charts.deployment(o, "small"))["securityContext"].pop("runAsNonRoot"),
}


@pytest.fixture(scope="module")
def release() -> list[Object]:
    objects = render(VALUES)
    assert kube_checks.problems(objects, charts.named_in(VALUES)) == []
    return objects


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_checks_find_a_small_model_that(defect: str, release: list[Object]) -> None:
    broken = copy.deepcopy(release)
    DEFECTS[defect](broken)
    assert kube_checks.problems(broken, charts.named_in(VALUES)) != []


def test_the_checks_find_two_servers_of_one_model() -> None:
    objects = render(PRESET)
    assert kube_checks.problems(objects, charts.named_in(PRESET)) == []
    server = vllm(objects, "small")
    server["args"][server["args"].index("--served-model-name") + 1] = PRESET["vllm"]["model"]["name"]
    assert kube_checks.problems(objects, charts.named_in(PRESET)) != []


def test_it_is_what_kubernetes_and_the_operators_know(release: list[Object]) -> None:
    for version in kube_schemas.VERSIONS:
        assert list(kube_schemas.problems(release, version)) == []
    assert list(kube_schemas.custom_problems(release)) == []
    query = charts.find(release, "ScaledObject", "-small")["spec"]["triggers"][0]["metadata"]["query"]
    assert 'service="rel-moderation-service-small"' in query
    assert charts.find(release, "ServiceMonitor", "-small")["spec"]["endpoints"][0]["path"] == "/metrics"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{engine: lite, small: {enabled: true}}", "small.enabled needs engine vllm or external"),
        ("small: {enabled: true, urls: ['http://a']}", "small: give enabled or urls, not both"),
        ("small: {enabled: true}", "small.model.name is that of vllm (Qwen/Qwen3Guard-Gen-0.6B)"),
        ("small: {urls: ['http://a'], apiKey: {value: abcdefgh}}", "small.apiKey.value and small.apiKey.alsoAccept"),
        ("small: {enabled: true, model: {name: a/b}, apiKey: {value: abcdefgh, existingSecret: a}}", "not both"),
        (
            "small: {enabled: true, model: {name: a/b}, apiKey: {enabled: false, alsoAccept: {existingSecret: a}}}",
            "small.apiKey.alsoAccept needs small.apiKey.enabled",
        ),
        ("small: {enabled: true, model: {name: a/b}, replicas: 3}", "small.persistence: 3 replicas may be on several"),
        ("small: {enabled: true, model: {name: a/b}, autoscaling: {enabled: true}}", "small.persistence: 2 replicas"),
        (
            "{small: {enabled: true, model: {name: a/b}, persistence: {enabled: false}, autoscaling: {enabled: true}}, "
            "networkPolicy: {small: {from: [{namespaceSelector: {}}]}}}",
            "small.autoscaling needs serverAddress",
        ),
        (
            "{small: {enabled: true, model: {name: a/b}}, metrics: {serviceMonitor: {enabled: true}}, "
            "networkPolicy: {vllm: {from: [{namespaceSelector: {}}]}}}",
            "networkPolicy.small.from",
        ),
        ("small: {enabled: true, model: {name: a/b}, extraArgs: [--port=9]}", "small.extraArgs: --port is set by"),
        ("small: {enabled: true, model: {name: a/b}, extraEnv: [{name: VLLM_API_KEY, value: a}]}", "small.extraEnv"),
        ("small: {enabled: true, model: {name: a/b, source: none}}", "small.model.source none needs small.model.path"),
        ("small: {enabled: true, gpu: {count: 3}}", "count"),
        ("small: {enabled: true, guards: 2}", "guards"),
        ("gateway: {config: {small_upstreams: ['http://a']}}", "use small.urls or small.enabled instead"),
        (
            "{small: {urls: ['http://a'], apiKey: {existingSecret: b}}, "
            "gateway: {extraEnv: [{name: MODERATION_SMALL_UPSTREAM_API_KEY, value: a}]}}",
            "MODERATION_SMALL_UPSTREAM_API_KEY is set by the chart",
        ),
    ],
)
def test_what_cannot_work_is_refused(text: str, says: str) -> None:
    with pytest.raises(HelmError) as caught:
        render(yaml.safe_load(text))
    assert says in str(caught.value)
