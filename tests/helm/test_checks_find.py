"""The checks bite: every defect that is planted into a good release is found by one of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import charts
import kube_checks
import kube_schemas
import pytest
import yaml
from charts import CHART, Object

VALUES = charts.read_values(CHART / "ci" / "full.yaml")
EXISTING = charts.named_in(VALUES)
Plant = Callable[[list[Object]], Any]


@pytest.fixture(scope="module")
def release() -> list[Object]:
    return charts.render(VALUES)


@pytest.fixture
def objects(release: list[Object]) -> list[Object]:
    return copy.deepcopy(release)


def gateway(objects: list[Object]) -> Object:
    return charts.deployment(objects, "gateway")


def guard(objects: list[Object]) -> Object:
    return charts.deployment(objects, "guard")


def main(workload: Object) -> Object:
    container: Object = charts.pod_spec(workload)["containers"][0]
    return container


def settings(objects: list[Object], **changed: Any) -> None:
    """Change what stands in the service's settings file."""
    data = charts.find(objects, "ConfigMap", "-config")["data"]
    data["config.yaml"] = yaml.safe_dump({**yaml.safe_load(data["config.yaml"]), **changed})


def policy(objects: list[Object]) -> Object:
    return charts.find(objects, "NetworkPolicy", "-guard")["spec"]


def test_a_good_release_has_no_problem(objects: list[Object]) -> None:
    assert kube_checks.problems(objects, EXISTING) == []
    for version in kube_schemas.VERSIONS:
        assert list(kube_schemas.problems(objects, version)) == []
    assert list(kube_schemas.custom_problems(objects)) == []


# What Kubernetes' schemas find

SCHEMA_DEFECTS: dict[str, Plant] = {
    "a field with a typo": lambda o: main(gateway(o)).update(imagePulPolicy="Always"),
    "a number that is a text": lambda o: gateway(o)["spec"].update(replicas="two"),
    "a variable that is no text": lambda o: main(gateway(o))["env"].append({"name": "A", "value": 1}),
    "a selector that is missing": lambda o: gateway(o)["spec"].pop("selector"),
    "an apiVersion that is gone": lambda o: charts.find(o, "PodDisruptionBudget", "service").update(
        apiVersion="policy/v1beta1"
    ),
}


@pytest.mark.parametrize("version", kube_schemas.VERSIONS)
@pytest.mark.parametrize("defect", SCHEMA_DEFECTS)
def test_the_schemas_find(defect: str, version: str, objects: list[Object]) -> None:
    SCHEMA_DEFECTS[defect](objects)
    assert list(kube_schemas.problems(objects, version)) != []


# What no schema finds

OWN_DEFECTS: dict[str, Plant] = {
    "a bad name": lambda o: charts.find(o, "ConfigMap", "-config")["metadata"].update(name="Rel_guard"),
    "a Service whose name begins with a digit": lambda o: charts.find(o, "Service", "-guard")["metadata"].update(
        name="1g"
    ),
    "a name of a port that is too long": lambda o: charts.find(o, "Service", "-guard")["spec"]["ports"][0].update(
        name="a-port-with-a-long-name"
    ),
    "a bad quantity": lambda o: main(guard(o))["resources"]["limits"].update(memory="20Gigs"),
    "a request beyond its limit": lambda o: main(guard(o))["resources"]["requests"].update(memory="20Ti"),
    "a port beyond 65535": lambda o: main(gateway(o))["ports"][0].update(containerPort=80000),
    "a probe of a port that is not there": lambda o: main(gateway(o))["livenessProbe"]["httpGet"].update(port="web"),
    "a Service of a port that is not there": lambda o: charts.find(o, "Service", "-guard")["spec"]["ports"][0].update(
        targetPort="web"
    ),
    "a NetworkPolicy for a port that is not there": lambda o: policy(o)["ingress"][0]["ports"][0].update(port="web"),
    "a monitor of a port that is not there": lambda o: charts.find(o, "ServiceMonitor", "-guard")["spec"]["endpoints"][
        0
    ].update(port="web"),
    "an Ingress to a Service that is not there": lambda o: charts.find(o, "Ingress")["spec"]["rules"][0]["http"][
        "paths"
    ][0]["backend"]["service"].update(name="other"),
    "a route to a port that is not there": lambda o: charts.find(o, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][
        0
    ].update(port=81),
    "a selector without its pods": lambda o: gateway(o)["spec"]["template"]["metadata"]["labels"].update(
        {"app.kubernetes.io/instance": "other"}
    ),
    "a Service that selects vLLM too": lambda o: charts.find(o, "Service", "moderation-service")["spec"][
        "selector"
    ].pop("app.kubernetes.io/component"),
    "a budget of other pods": lambda o: charts.find(o, "PodDisruptionBudget", "-guard")["spec"]["selector"][
        "matchLabels"
    ].update({"app.kubernetes.io/component": "gateway"}),
    "a selector by a version": lambda o: [
        labels.update({"app.kubernetes.io/version": "1"})
        for labels in (
            gateway(o)["spec"]["selector"]["matchLabels"],
            gateway(o)["spec"]["template"]["metadata"]["labels"],
        )
    ],
    "vLLM open to everybody": lambda o: policy(o)["ingress"][0].pop("from"),
    "vLLM closed to the gateway": lambda o: policy(o)["ingress"][0]["from"].pop(0),
    "no DNS": lambda o: policy(o)["egress"].pop(0),
    "a gateway that may not call vLLM": lambda o: charts.find(o, "NetworkPolicy", "service")["spec"]["egress"].pop(1),
    "a bad type of NetworkPolicy": lambda o: policy(o).update(policyTypes=["Inbound", "Egress"]),
    "an autoscaler of nothing": lambda o: charts.find(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(
        name="other"
    ),
    "a KEDA object of nothing": lambda o: charts.find(o, "ScaledObject")["spec"]["scaleTargetRef"].update(name="other"),
    "a ConfigMap that is not there": lambda o: o.remove(charts.find(o, "ConfigMap", "-policies")),
    "a Secret that is not there": lambda o: o.remove(charts.find(o, "Secret", "-guard-key")),
    "a claim that is not there": lambda o: o.remove(charts.find(o, "PersistentVolumeClaim")),
    "an account that is not there": lambda o: o.remove(charts.find(o, "ServiceAccount")),
    "a key that the Secret lacks": lambda o: charts.find(o, "Secret", "-guard-key").update(data={"other": "eA=="}),
    "a mount without its volume": lambda o: charts.pod_spec(guard(o))["volumes"].pop(),
    "a variable twice": lambda o: main(gateway(o))["env"].append({"name": "HOME", "value": "/"}),
    "a mount twice": lambda o: main(gateway(o))["volumeMounts"].append({"name": "shm", "mountPath": "/tmp"}),
    "an object twice": lambda o: o.append(copy.deepcopy(gateway(o))),
    "a bad access mode": lambda o: charts.find(o, "PersistentVolumeClaim")["spec"].update(accessModes=["Shared"]),
    "half a GPU": lambda o: [
        main(guard(o))["resources"][side].update({"nvidia.com/gpu": "0.5"}) for side in ("limits", "requests")
    ],
    "a GPU that is only requested": lambda o: main(guard(o))["resources"]["limits"].pop("nvidia.com/gpu"),
    "a pod that may be root": lambda o: charts.pod_spec(gateway(o))["securityContext"].pop("runAsNonRoot"),
    "a pod without seccomp": lambda o: charts.pod_spec(guard(o))["securityContext"].pop("seccompProfile"),
    "a container that keeps capabilities": lambda o: main(guard(o))["securityContext"].pop("capabilities"),
    "a container that may write anywhere": lambda o: main(guard(o))["securityContext"].pop("readOnlyRootFilesystem"),
    "a container without a writable /tmp": lambda o: main(gateway(o))["volumeMounts"].pop(1),
    "a folder for metrics that can't be written": lambda o: main(gateway(o))["env"][3].update(value="/var/metrics"),
    "a pod with a token": lambda o: charts.pod_spec(guard(o)).pop("automountServiceAccountToken"),
    "a pod with variables for Services": lambda o: charts.pod_spec(guard(o)).pop("enableServiceLinks"),
    "a container without limits": lambda o: main(gateway(o))["resources"].pop("limits"),
    "a deadline before the start": lambda o: guard(o)["spec"].update(progressDeadlineSeconds=600),
    "a grace period shorter than the drain": lambda o: charts.pod_spec(gateway(o)).update(
        terminationGracePeriodSeconds=55
    ),
    "an address of pods whose Service is one address": lambda o: charts.find(o, "Service", "-guard-pods")["spec"].pop(
        "clusterIP"
    ),
    "an upstream that is not there": lambda o: settings(o, upstreams=["http://rel-guard-podz:8000?resolve=all"]),
    "an upstream's port on which nothing listens": lambda o: settings(
        o, upstreams=[f"http://{charts.find(o, 'Service', '-guard-pods')['metadata']['name']}:8080?resolve=all"]
    ),
    "an upstream that is one pod of several": lambda o: settings(
        o, upstreams=[f"http://{charts.find(o, 'Service', '-guard-pods')['metadata']['name']}:8000"]
    ),
    "a gateway that sends vLLM another key": lambda o: next(
        one for one in main(gateway(o))["env"] if one["name"] == "MODERATION_UPSTREAM_API_KEY"
    )["valueFrom"]["secretKeyRef"].update(name="scraper"),
    "two autoscalers of one Deployment": lambda o: o.append(
        {
            **charts.find(o, "HorizontalPodAutoscaler"),
            "metadata": {**charts.find(o, "HorizontalPodAutoscaler")["metadata"], "name": "another"},
        }
    ),
    "replicas beside an autoscaler": lambda o: gateway(o)["spec"].update(replicas=2),
    "KEDA down to nothing": lambda o: charts.find(o, "ScaledObject")["spec"].update(minReplicaCount=0),
    "KEDA that shrinks while Prometheus is away": lambda o: charts.find(o, "ScaledObject")["spec"].update(
        fallback={"failureThreshold": 3, "replicas": 1}
    ),
    "a budget that lets no pod go": lambda o: charts.find(o, "PodDisruptionBudget", "service")["spec"].update(
        maxUnavailable=0
    ),
    "an upgrade that stops every gateway": lambda o: gateway(o)["spec"].update(strategy={"type": "Recreate"}),
    "an upgrade that stops every vLLM": lambda o: guard(o)["spec"].update(
        strategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}}
    ),
    "a volume of one node for several pods": lambda o: charts.find(o, "PersistentVolumeClaim")["spec"].update(
        accessModes=["ReadWriteOnce"]
    ),
    "a monitor that is shut out": lambda o: policy(o)["ingress"][0]["from"].pop(),
    "a setting that does not exist": lambda o: settings(o, wrokers=2),
    "an alert that leads nowhere": lambda o: charts.find(o, "PrometheusRule")["spec"]["groups"][0]["rules"][0][
        "annotations"
    ].update(runbook="docs/operations.md#nowhere"),
    "liveness that asks vLLM": lambda o: main(gateway(o)).update(livenessProbe=main(gateway(o))["readinessProbe"]),
}


@pytest.mark.parametrize("defect", OWN_DEFECTS)
def test_the_checks_find(defect: str, objects: list[Object]) -> None:
    OWN_DEFECTS[defect](objects)
    assert kube_checks.problems(objects, EXISTING) != []


def test_every_check_finds_something(release: list[Object]) -> None:
    finding = set()
    for plant in OWN_DEFECTS.values():
        objects = copy.deepcopy(release)
        plant(objects)
        finding |= {check for check in kube_checks.CHECKS if list(check(objects, EXISTING))}
    assert finding == set(kube_checks.CHECKS)


def test_a_key_given_twice_is_found_which_helm_does_not() -> None:
    text = "kind: Service\nmetadata: {name: a}\nkind: Secret\n"
    assert yaml.safe_load(text)["kind"] == "Secret"
    with pytest.raises(yaml.YAMLError, match="duplicate key 'kind'"):
        charts.load(text)


CUSTOM_DEFECTS: dict[str, Plant] = {
    "an interval in words": lambda o: charts.find(o, "ServiceMonitor", "-guard")["spec"]["endpoints"][0].update(
        interval="15 seconds"
    ),
    "a field with a typo": lambda o: charts.find(o, "ServiceMonitor", "-guard")["spec"]["endpoints"][0].update(
        intervall="15s"
    ),
    "a monitor without a selector": lambda o: charts.find(o, "ServiceMonitor", "-guard")["spec"].pop("selector"),
    "a rule without an expression": lambda o: charts.find(o, "PrometheusRule")["spec"]["groups"][0]["rules"][0].pop(
        "expr"
    ),
    "a trigger without a type": lambda o: charts.find(o, "ScaledObject")["spec"]["triggers"][0].pop("type"),
    "a polling interval in words": lambda o: charts.find(o, "ScaledObject")["spec"].update(pollingInterval="soon"),
}


@pytest.mark.parametrize("defect", CUSTOM_DEFECTS)
def test_the_models_of_custom_resources_find(defect: str, objects: list[Object]) -> None:
    CUSTOM_DEFECTS[defect](objects)
    assert list(kube_schemas.custom_problems(objects)) != []
