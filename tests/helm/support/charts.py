"""The chart, rendered: by Helm's library in this process, or by the programs helm 3 and helm 4."""

from __future__ import annotations

import copy
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "manifests" / "helm" / "moderation-service"
HELMS = {major: ROOT / ".tools" / f"helm{major}" / "helm" for major in (3, 4)}
RELEASE, NAMESPACE = "rel", "guards"

Object = dict[str, Any]


class StrictLoader(yaml.CSafeLoader):
    """Refuses a key that is given twice: Helm prints both, and every reader takes another one."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", node.start_mark)
    return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)}


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(text: str) -> list[Object]:
    """The objects of a stream of YAML documents."""
    return [document for document in yaml.load_all(text, Loader=StrictLoader) if document]


def values_files() -> list[Path]:
    """The default values, the presets, and those of the chart's own tests."""
    return [CHART / "values.yaml", *sorted(CHART.glob("values-*.yaml")), *sorted(CHART.glob("ci/*.yaml"))]


def read_values(path: Path) -> Object:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@cache
def _chart(path: Path) -> Any:
    from helm_python.chart import Chart

    return Chart.load(str(path))


def render(values: Object | None = None, *, name: str = RELEASE, path: Path = CHART) -> list[Object]:
    """The objects, hooks included, in this process. Raises helm_python's errors."""
    files: dict[str, str] = _chart(path).render(values or {}, name=name, namespace=NAMESPACE)
    return [one for file, text in sorted(files.items()) if file.endswith(".yaml") for one in load(text)]


def notes(values: Object | None = None) -> str:
    """What is printed after the installation."""
    files: dict[str, str] = _chart(CHART).render(values or {}, name=RELEASE, namespace=NAMESPACE)
    return next(text for file, text in files.items() if file.endswith("NOTES.txt"))


def helm(major: int, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the real program."""
    command = [str(HELMS[major]), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=check)


def template(major: int, *arguments: str, path: Path = CHART) -> list[Object]:
    """The objects as `helm template` prints them."""
    return load(helm(major, "template", RELEASE, str(path), "--namespace", NAMESPACE, *arguments).stdout)


def identity(one: Object) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def by_identity(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {identity(one): one for one in objects}


def find(objects: list[Object], kind: str, name: str = "") -> Object:
    """The object of that kind whose name ends so."""
    (found,) = [one for one in objects if one["kind"] == kind and one["metadata"]["name"].endswith(name)]
    return found


def deployment(objects: list[Object], component: str) -> Object:
    (found,) = [
        one
        for one in objects
        if one["kind"] == "Deployment" and one["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    return found


def container(workload: Object, name: str) -> Object:
    pod = pod_spec(workload)
    (found,) = [one for one in [*pod.get("initContainers", []), *pod["containers"]] if one["name"] == name]
    return found


def pod_spec(workload: Object) -> Object:
    spec: Object = workload["spec"] if workload["kind"] == "Pod" else workload["spec"]["template"]["spec"]
    return spec


_NAMED = {
    "existingSecret": "Secret",
    "existingConfigMap": "ConfigMap",
    "existingClaim": "PersistentVolumeClaim",
    "secretKeyRef": "Secret",
    "configMapKeyRef": "ConfigMap",
    "secretRef": "Secret",
    "configMapRef": "ConfigMap",
}


def named_in(values: Any) -> set[tuple[str, str]]:
    """The objects that values name and that must be there already."""
    found: set[tuple[str, str]] = set()
    if isinstance(values, list):
        for value in values:
            found |= named_in(value)
    elif isinstance(values, dict):
        for key, value in values.items():
            if key in _NAMED:
                found.add((_NAMED[key], value if isinstance(value, str) else value["name"]))
            elif key == "imagePullSecrets":
                found |= {("Secret", one["name"]) for one in value}
            elif key == "serviceAccount" and not value.get("create", True):
                found.add(("ServiceAccount", value.get("name") or "default"))
            else:
                found |= named_in(value)
    return found


def without_random(objects: list[Object]) -> list[Object]:
    """The objects, sorted, with a word in place of every key that was made for this rendering."""
    scrubbed: list[Object] = copy.deepcopy(objects)
    for one in scrubbed:
        if one["kind"] == "Secret":
            one["data"] = dict.fromkeys(one["data"], "RANDOM")
        if one["kind"] == "Deployment":
            annotations = one["spec"]["template"]["metadata"].get("annotations", {})
            made = ("checksum/api-keys", "checksum/guard-key", "checksum/small-key")
            annotations.update({name: "RANDOM" for name in made if name in annotations})
    return sorted(scrubbed, key=identity)
