"""Whether a release of several pods works as one: addresses, scaling, budgets, volumes, monitoring.

As in `kube_checks`, every check yields sentences.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from charts import CHART, Object, identity, pod_spec

Existing = Collection[tuple[str, str]]
_OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def _of(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def _settings(objects: list[Object]) -> Object:
    for one in _of(objects, "ConfigMap"):
        if "config.yaml" in one.get("data", {}):
            return dict(yaml.safe_load(one["data"]["config.yaml"]))
    return {}


def _most(objects: list[Object], workload: Object) -> int:
    """How many pods a Deployment may have."""
    name = workload["metadata"]["name"]
    scaled = [
        one["spec"].get("maxReplicas", one["spec"].get("maxReplicaCount"))
        for one in (*_of(objects, "HorizontalPodAutoscaler"), *_of(objects, "ScaledObject"))
        if one["spec"]["scaleTargetRef"]["name"] == name
    ]
    return max([*scaled, workload["spec"].get("replicas", 1)])


def check_upstreams(objects: list[Object], existing: Existing) -> Iterator[str]:
    """The address of our model servers is a Service of their pods, each of which is asked, on its own port."""
    services = {one["metadata"]["name"]: one for one in _of(objects, "Service")}
    for setting, component in (("upstreams", "-guard"), ("small_upstreams", "-small")):
        servers = [one for one in _of(objects, "Deployment") if one["metadata"]["name"].endswith(component)]
        listening = {
            port["containerPort"]
            for one in servers
            for container in pod_spec(one)["containers"]
            for port in container.get("ports", [])
        }
        if servers and not _settings(objects).get(setting):
            yield f"{setting}: nobody asks {identity(servers[0])}"
        for address in _settings(objects).get(setting, []) if servers else ():
            parts = urlsplit(address)
            service = services.get(parts.hostname or "")
            if service is None:
                yield f"{setting}: there is no Service {parts.hostname}"
            elif (service["spec"].get("clusterIP") == "None") != (parts.query == "resolve=all"):
                yield f"{setting}: {address} and its Service do not agree on whether every pod has an address"
            elif parts.port not in listening:
                yield f"{setting}: nothing listens on port {parts.port}"
            elif not all(_selects(service, one) for one in servers):
                yield f"{setting}: {address} is not that of {identity(servers[0])}"


def _selects(service: Object, workload: Object) -> bool:
    return service["spec"]["selector"].items() <= workload["spec"]["template"]["metadata"]["labels"].items()


def check_models(objects: list[Object], existing: Existing) -> Iterator[str]:
    """The two models of a cascade are two, each with a key of its own server."""
    found: dict[str, str] = {}
    for one in _of(objects, "Deployment"):
        component = one["metadata"]["labels"]["app.kubernetes.io/component"]
        if component not in ("guard", "small"):
            continue
        (server,) = [each for each in pod_spec(one)["containers"] if each["name"] == "vllm"]
        name = server["args"][server["args"].index("--served-model-name") + 1]
        if name in found:
            yield f"{identity(one)}: serves {name}, as {found[name]} does"
        found[name] = component
        asked = _key(server["env"], "VLLM_API_KEY")
        gateway = [each for each in _of(objects, "Deployment") if _component(each) == "gateway"]
        variable = "MODERATION_UPSTREAM_API_KEY" if component == "guard" else "MODERATION_SMALL_UPSTREAM_API_KEY"
        for each in gateway:
            sent = _key(pod_spec(each)["containers"][0]["env"], variable)
            if asked is not None and sent != asked:
                yield f"{identity(one)}: the gateway sends it {sent}, and it asks for {asked}"


def _component(workload: Object) -> str:
    return str(workload["metadata"]["labels"]["app.kubernetes.io/component"])


def _key(env: list[Object], name: str) -> tuple[str, str] | None:
    references = [one["valueFrom"]["secretKeyRef"] for one in env if one["name"] == name]
    return (references[0]["name"], references[0]["key"]) if references else None


def check_scaling(objects: list[Object], existing: Existing) -> Iterator[str]:
    """One thing scales a Deployment, can bring it back, and takes nothing away because Prometheus is away."""
    scalers = (*_of(objects, "HorizontalPodAutoscaler"), *_of(objects, "ScaledObject"))
    targets = [one["spec"]["scaleTargetRef"]["name"] for one in scalers]
    for one in _of(objects, "Deployment"):
        times = targets.count(one["metadata"]["name"])
        if times > 1:
            yield f"{identity(one)}: is scaled by {times} objects"
        if times and "replicas" in one["spec"]:
            yield f"{identity(one)}: has `replicas`, which every upgrade would set back"
    for one in _of(objects, "ScaledObject"):
        if one["spec"].get("minReplicaCount", 0) < 1:
            yield f"{identity(one)}: may go down to none, and nothing would count what waits"
        if "fallback" in one["spec"]:
            yield f"{identity(one)}: takes pods away while Prometheus is away"


def check_interruptions(objects: list[Object], existing: Existing) -> Iterator[str]:
    """Nodes can be drained, and an upgrade of the gateway leaves some."""
    for one in _of(objects, "PodDisruptionBudget"):
        spec = one["spec"]
        if str(spec.get("maxUnavailable", "1")) in ("0", "0%") or str(spec.get("minAvailable", "0")) == "100%":
            yield f"{identity(one)}: lets no pod go"
    for one in _of(objects, "Deployment"):
        component = one["metadata"]["labels"]["app.kubernetes.io/component"]
        strategy = one["spec"].get("strategy", {})
        stops_all = strategy.get("type") == "Recreate" or (
            str(strategy.get("rollingUpdate", {}).get("maxUnavailable")) == "100%"
        )
        if stops_all and (component == "gateway" or _most(objects, one) > 1):
            yield f"{identity(one)}: an upgrade stops all of its pods"


def check_shared_volumes(objects: list[Object], existing: Existing) -> Iterator[str]:
    """Pods on several nodes don't share a volume of one node."""
    claims = {one["metadata"]["name"]: one["spec"]["accessModes"] for one in _of(objects, "PersistentVolumeClaim")}
    for one in _of(objects, "Deployment"):
        for volume in pod_spec(one).get("volumes", []):
            modes = claims.get(volume.get("persistentVolumeClaim", {}).get("claimName"), ["ReadWriteMany"])
            if _most(objects, one) > 1 and not {"ReadWriteMany", "ReadOnlyMany"} & set(modes):
                yield f"{identity(one)}: several pods and a claim of one node"


def check_scraping(objects: list[Object], existing: Existing) -> Iterator[str]:
    """What is to be scraped lets somebody in besides the gateway."""
    monitored = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in (*_of(objects, "ServiceMonitor"), *_of(objects, "PodMonitor"))
    }
    for one in _of(objects, "NetworkPolicy"):
        component = one["metadata"]["labels"]["app.kubernetes.io/component"]
        peers: list[Any] = [peer for rule in one["spec"]["ingress"] for peer in rule.get("from", [{}])]
        if component in monitored and all(set(peer) == {"podSelector"} for peer in peers):
            yield f"{identity(one)}: Prometheus may not scrape it"


def check_contents(objects: list[Object], existing: Existing) -> Iterator[str]:
    """Settings are those of the service, and alerts lead to a section that is there."""
    known = (CHART / "files" / "settings.txt").read_text(encoding="utf-8").split()
    yield from (f"settings: there is no {name}" for name in _settings(objects) if name not in known)
    sections = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in _OPERATIONS.read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    }
    for one in _of(objects, "PrometheusRule"):
        for rule in (rule for group in one["spec"]["groups"] for rule in group["rules"]):
            page, _, section = rule["annotations"].get("runbook", "").partition("#")
            if page != "docs/operations.md" or section not in sections:
                yield f"alert {rule['alert']}: leads to no section of docs/operations.md"


CHECKS = (
    check_upstreams,
    check_models,
    check_scaling,
    check_interruptions,
    check_shared_volumes,
    check_scraping,
    check_contents,
)
