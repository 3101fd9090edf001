"""What no validator looks at: whether the objects of a release fit together, and keep the promises of the chart.

Every check yields sentences; `problems` has those of all. `existing` are the objects that the values name and that are
not part of the release.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from typing import Any

import fleet_checks
import yaml
from charts import Object, identity, pod_spec

Existing = Collection[tuple[str, str]]
Check = Callable[[list[Object], Existing], Iterator[str]]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_SCALES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_WRITING = ("HOME", "TMPDIR", "PROMETHEUS_MULTIPROC_DIR", "TORCHINDUCTOR_CACHE_DIR")
_ENUMERATIONS = {
    "policyTypes": {"Ingress", "Egress"},
    "accessModes": {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "restartPolicy": {"Always", "OnFailure", "Never"},
}


def problems(objects: list[Object], existing: Existing = ()) -> list[str]:
    """What is wrong with a release."""
    return [problem for check in CHECKS for problem in check(objects, existing)]


def workloads(objects: list[Object]) -> list[Object]:
    return [one for one in objects if one["kind"] in ("Deployment", "Pod")]


def containers(workload: Object) -> list[Object]:
    spec = pod_spec(workload)
    return [*spec.get("initContainers", []), *spec["containers"]]


def pod_labels(workload: Object) -> dict[str, str]:
    metadata = workload["metadata"] if workload["kind"] == "Pod" else workload["spec"]["template"]["metadata"]
    labels: dict[str, str] = metadata["labels"]
    return labels


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def walk(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with the keys that lead to it."""
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, (*path, str(key)))
    elif isinstance(node, list):
        for value in node:
            yield from walk(value, path)


def quantity(value: object) -> Decimal | None:
    """The number, or None if it is no quantity."""
    text = str(value)
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, unit = Decimal(match[1]), match[3] or ""
    if unit[:1] in ("e", "E") and len(unit) > 1 and unit[1] != "i":
        return number.scaleb(int(unit[1:]))
    if unit.endswith("i"):
        return number * 1024 ** ("KMGTPE".index(unit[0]) + 1)
    return number.scaleb(_SCALES[unit])


def check_names(objects: list[Object], existing: Existing) -> Iterator[str]:
    for one in objects:
        kind, name = identity(one)
        pattern, longest = (_LABEL, 63) if kind == "Service" else (_SUBDOMAIN, 253)
        if len(name) > longest or not pattern.fullmatch(name):
            yield f"{kind} {name}: is no name for it"
        for path, value in walk(one.get("spec", {})):
            if path[-2:] == ("ports", "name") and not _PORT_NAME.fullmatch(str(value)):
                yield f"{kind} {name}: {value} is no name for a port"


def check_quantities(objects: list[Object], existing: Existing) -> Iterator[str]:
    for one in objects:
        for path, value in walk(one):
            is_amount = path[-1:] == ("sizeLimit",) or path[-2:-1] in (("limits",), ("requests",))
            if is_amount and quantity(value) is None:
                yield f"{identity(one)}: {'.'.join(path)}: {value} is no quantity"
            if path[-1:] == ("resources",) and isinstance(value, dict):
                limits = value.get("limits", {})
                for name, request in value.get("requests", {}).items():
                    low, high = quantity(request), quantity(limits.get(name, request))
                    if low is not None and high is not None and low > high:
                        yield f"{identity(one)}: requests more {name} than its limit"


def check_ports(objects: list[Object], existing: Existing) -> Iterator[str]:
    for one in objects:
        for path, value in walk(one):
            is_port = path[-1:] in (("containerPort",), ("port",), ("nodePort",), ("endPort",))
            if is_port and isinstance(value, int) and not 1 <= value <= 65535:
                yield f"{identity(one)}: {value} is no port"
    for workload in workloads(objects):
        for one in containers(workload):
            names = {port["name"] for port in one.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = one.get(probe, {}).get("httpGet", {}).get("port", 0)
                if isinstance(port, str) and port not in names:
                    yield f"{identity(workload)}: {probe} asks port {port}, which {one['name']} does not have"
    for one, selector, port in _named_ports(objects):
        for workload in workloads(objects):
            if selects(selector, pod_labels(workload)) and port not in _port_names(workload):
                yield f"{identity(one)}: port {port} does not exist in {identity(workload)}"
    yield from _check_service_ports(objects)


def _port_names(workload: Object) -> set[str]:
    return {port["name"] for one in containers(workload) for port in one.get("ports", [])}


def _named_ports(objects: list[Object]) -> Iterator[tuple[Object, dict[str, str], str]]:
    """Who names a port of which pods."""
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            for port in spec["ports"]:
                if isinstance(port.get("targetPort"), str):
                    yield one, spec["selector"], port["targetPort"]
        elif one["kind"] == "NetworkPolicy":
            for rule in spec.get("ingress", []):
                for port in rule.get("ports", []):
                    if isinstance(port.get("port"), str):
                        yield one, spec["podSelector"]["matchLabels"], port["port"]
            for rule in spec.get("egress", []):
                for peer in rule.get("to", []):
                    for port in rule.get("ports", []):
                        if isinstance(port.get("port"), str) and "namespaceSelector" not in peer:
                            yield one, peer["podSelector"]["matchLabels"], port["port"]


def _check_service_ports(objects: list[Object]) -> Iterator[str]:
    services = {one["metadata"]["name"]: one for one in objects if one["kind"] == "Service"}
    for one in objects:
        if one["kind"] == "ServiceMonitor":
            selector = one["spec"]["selector"]["matchLabels"]
            for service in services.values():
                if selects(selector, service["metadata"]["labels"]):
                    names = {port["name"] for port in service["spec"]["ports"]}
                    for endpoint in one["spec"]["endpoints"]:
                        if endpoint["port"] not in names:
                            yield f"{identity(one)}: port {endpoint['port']} does not exist in the Service"
        for _, value in walk(one.get("spec", {}) if one["kind"] in ("Ingress", "HTTPRoute") else {}):
            backends = [value["service"]] if isinstance(value, dict) and "service" in value else []
            if isinstance(value, dict) and "backendRefs" in value:
                backends += value["backendRefs"]
            for backend in backends:
                service = services.get(backend["name"])
                port = backend["port"].get("name") if isinstance(backend["port"], dict) else backend["port"]
                known = (
                    [] if service is None else [key for p in service["spec"]["ports"] for key in (p["name"], p["port"])]
                )
                if port not in known:
                    yield f"{identity(one)}: leads to {backend['name']}:{port}, which does not exist"


def check_selectors(objects: list[Object], existing: Existing) -> Iterator[str]:
    """Everything selects the pods of its own component, and no others."""
    for one in objects:
        kind, spec = one["kind"], one.get("spec", {})
        selector = {
            "Deployment": lambda spec=spec: spec["selector"]["matchLabels"],
            "Service": lambda spec=spec: spec["selector"],
            "PodDisruptionBudget": lambda spec=spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec=spec: spec["podSelector"].get("matchLabels", {}),
            "ServiceMonitor": lambda spec=spec: spec["selector"]["matchLabels"],
        }.get(kind)
        if selector is None:
            continue
        labels = selector()
        if any("version" in label or label == "helm.sh/chart" for label in labels):
            yield f"{identity(one)}: selects by a version"
        # The headless Service has a name of its own for a component's pods, so that no ServiceMonitor selects both.
        component = one["metadata"]["labels"]["app.kubernetes.io/component"].removesuffix("-pods")
        candidates = [x for x in objects if x["kind"] == "Service"] if kind == "ServiceMonitor" else workloads(objects)
        found = [
            candidate
            for candidate in candidates
            if selects(labels, candidate["metadata"]["labels"] if kind == "ServiceMonitor" else pod_labels(candidate))
        ]
        if [x["metadata"]["labels"]["app.kubernetes.io/component"] for x in found] != [component]:
            yield f"{identity(one)}: selects {[identity(x) for x in found]}, not what belongs to {component}"
        if kind == "Deployment" and one not in found:
            yield f"{identity(one)}: does not select its own pods"


def check_peers(objects: list[Object], existing: Existing) -> Iterator[str]:
    """Only the gateway reaches the model servers, and it may; all may ask the DNS."""
    policies = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]
        for one in objects
        if one["kind"] == "NetworkPolicy"
    }
    for component, spec in policies.items():
        if sorted(spec["policyTypes"]) != ["Egress", "Ingress"]:
            yield f"NetworkPolicy of {component}: leaves a direction open"
        protocols = {
            port["protocol"]
            for rule in spec["egress"]
            if "to" not in rule
            for port in rule["ports"]
            if port.get("port") == 53
        }
        if protocols != {"UDP", "TCP"}:
            yield f"NetworkPolicy of {component}: can't ask the DNS"
    for server in {"guard", "small", "stream"} & policies.keys():
        if not all(rule.get("from") for rule in policies[server]["ingress"]):
            yield f"NetworkPolicy of {server}: everybody may call vLLM"
        own = [
            peer["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component")
            for rule in policies[server]["ingress"]
            for peer in rule.get("from", [])
            if "namespaceSelector" not in peer and "ipBlock" not in peer
        ]
        if "gateway" not in own:
            yield f"NetworkPolicy of {server}: the gateway may not call vLLM"
        reachable = [
            peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component")
            for rule in policies["gateway"]["egress"]
            for peer in rule.get("to", [])
        ]
        if server not in reachable:
            yield f"NetworkPolicy of gateway: vLLM of {server} may not be called"


def check_references(objects: list[Object], existing: Existing) -> Iterator[str]:
    there = {identity(one) for one in objects} | set(existing)
    for one in objects:
        target = one.get("spec", {}).get("scaleTargetRef")
        if target and (target["kind"], target["name"]) not in there:
            yield f"{identity(one)}: scales {target['name']}, which does not exist"
        credentials = [v["credentials"]["name"] for _, v in walk(one) if isinstance(v, dict) and "credentials" in v]
        yield from (
            f"{identity(one)}: Secret {name} does not exist" for name in credentials if ("Secret", name) not in there
        )
    for workload in workloads(objects):
        spec = pod_spec(workload)
        for kind, name in _references(spec):
            if (kind, name) not in there:
                yield f"{identity(workload)}: {kind} {name} does not exist"
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        for one in containers(workload):
            for mount in one.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{identity(workload)}: mounts {mount['name']}, which is no volume"


def _references(spec: Object) -> Iterator[tuple[str, str]]:
    yield "ServiceAccount", spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets", []):
        yield "Secret", secret["name"]
    for path, value in walk(spec):
        if not isinstance(value, dict) or value.get("optional"):
            continue
        last = path[-1:]
        if last in (("secretKeyRef",), ("secretRef",)) or (last == ("secret",) and "name" in value):
            yield "Secret", value["name"]
        elif last == ("secret",):
            yield "Secret", value["secretName"]
        elif last in (("configMapKeyRef",), ("configMapRef",), ("configMap",)):
            yield "ConfigMap", value["name"]
        elif last == ("persistentVolumeClaim",):
            yield "PersistentVolumeClaim", value["claimName"]


def check_keys_of_references(objects: list[Object], existing: Existing) -> Iterator[str]:
    """A key that is asked of a rendered ConfigMap or Secret is in it."""
    content = {identity(one): set(one.get("data", {})) for one in objects if one["kind"] in ("ConfigMap", "Secret")}
    kinds = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap", "secret": "Secret", "configMap": "ConfigMap"}
    for workload in workloads(objects):
        for path, value in walk(pod_spec(workload)):
            kind = kinds.get(path[-1]) if path else None
            if kind is None or not isinstance(value, dict):
                continue
            name = value.get("name") or value.get("secretName")
            keys = [item["key"] for item in value.get("items", [])] + ([value["key"]] if "key" in value else [])
            for key in keys:
                if (kind, name) in content and key not in content[kind, name]:
                    yield f"{identity(workload)}: {kind} {name} has no {key}"


def check_duplicates(objects: list[Object], existing: Existing) -> Iterator[str]:
    def twice(what: str, values: list[Any]) -> Iterator[str]:
        yield from (f"{what} {value} twice" for value, number in Counter(values).items() if number > 1)

    yield from twice("object", [identity(one) for one in objects])
    for workload in workloads(objects):
        where = f"{identity(workload)}:"
        yield from twice(f"{where} volume", [volume["name"] for volume in pod_spec(workload).get("volumes", [])])
        for one in containers(workload):
            yield from twice(f"{where} variable", [entry["name"] for entry in one.get("env", [])])
            yield from twice(f"{where} mount at", [mount["mountPath"] for mount in one.get("volumeMounts", [])])
            yield from twice(f"{where} port", [port["name"] for port in one.get("ports", [])])
            yield from twice(f"{where} port", [port["containerPort"] for port in one.get("ports", [])])


def check_enumerations(objects: list[Object], existing: Existing) -> Iterator[str]:
    for one in objects:
        for path, value in walk(one.get("spec", {})):
            known = _ENUMERATIONS.get(path[-1]) if path else None
            for single in value if isinstance(value, list) else [value]:
                if known is not None and single not in known:
                    yield f"{identity(one)}: {path[-1]} can't be {single}"


def check_gpu(objects: list[Object], existing: Existing) -> Iterator[str]:
    for workload in workloads(objects):
        for one in containers(workload):
            limits, requests = one["resources"].get("limits", {}), one["resources"].get("requests", {})
            for name in {name for name in (*limits, *requests) if "/" in name}:
                if limits.get(name) != requests.get(name):
                    yield f"{identity(workload)}: {name} differs between limits and requests"
                if not isinstance(limits.get(name), int) or limits[name] < 1:
                    yield f"{identity(workload)}: {name} is not a whole number"


def check_hardening(objects: list[Object], existing: Existing) -> Iterator[str]:
    for workload in workloads(objects):
        where, spec = identity(workload), pod_spec(workload)
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{where}: gets a token for the API server"
        if spec.get("enableServiceLinks") is not False:
            yield f"{where}: gets variables for every Service"
        pod = spec.get("securityContext", {})
        if pod.get("runAsNonRoot") is not True or pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{where}: may run as root or without seccomp"
        for one in containers(workload):
            own = one.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{where}: {one['name']} keeps privileges"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{where}: {one['name']} may write anywhere"
            if "limits" not in one.get("resources", {}):
                yield f"{where}: {one['name']} has no limits"
            yield from (f"{where}: {one['name']} can't write to {path}" for path in _not_writable(one))


def _not_writable(one: Object) -> Iterator[str]:
    writable = [mount["mountPath"] for mount in one.get("volumeMounts", []) if not mount.get("readOnly")]
    wanted = [entry["value"] for entry in one.get("env", []) if entry["name"] in _WRITING]
    arguments = one.get("args", [])
    if "--cache-dir" in arguments:
        wanted.append(arguments[arguments.index("--cache-dir") + 1])
    if one["name"] in ("gateway", "vllm"):
        wanted += ["/tmp", "/dev/shm"]
    for path in wanted:
        if not any(path == place or path.startswith(place.rstrip("/") + "/") for place in writable):
            yield path


def check_timing(objects: list[Object], existing: Existing) -> Iterator[str]:
    for one in objects:
        if one["kind"] != "Deployment":
            continue
        main = pod_spec(one)["containers"][0]
        start = main["startupProbe"]["periodSeconds"] * main["startupProbe"]["failureThreshold"]
        if one["spec"]["progressDeadlineSeconds"] < start:
            yield f"{identity(one)}: is given up before it may have started"
        command = main.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        graceful = int(command[1])
        if main["name"] == "gateway":
            graceful += _settings(objects)["graceful_timeout_s"]
        if pod_spec(one)["terminationGracePeriodSeconds"] <= graceful:
            yield f"{identity(one)}: is killed before its requests may have ended"
        if main["livenessProbe"] == main["readinessProbe"] and main["name"] == "gateway":
            yield f"{identity(one)}: is killed whenever it is not ready"


def _settings(objects: list[Object]) -> Object:
    (config,) = [one for one in objects if one["kind"] == "ConfigMap" and "config.yaml" in one.get("data", {})]
    return dict(yaml.safe_load(config["data"]["config.yaml"]))


CHECKS: tuple[Check, ...] = (
    check_names,
    check_quantities,
    check_ports,
    check_selectors,
    check_peers,
    check_references,
    check_keys_of_references,
    check_duplicates,
    check_enumerations,
    check_gpu,
    check_hardening,
    check_timing,
    *fleet_checks.CHECKS,
)
