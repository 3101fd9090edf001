"""manifests/ray/rayjob.yaml against KubeRay's fields and Kubernetes' schemas of pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import charts
import kube_schemas
import pytest
import yaml

pytestmark = pytest.mark.helm

JOB: dict[str, Any] = yaml.safe_load((charts.ROOT / "manifests" / "ray" / "rayjob.yaml").read_text(encoding="utf-8"))

# Those of the schema that the job may use. Source: ray-project/kuberay feeaf72 (1.7.0-rc.0)
# `helm-chart/kuberay-operator/crds/ray.io_rayjobs.yaml`, version v1.
FIELDS = {
    "spec": {
        "activeDeadlineSeconds": int, "backoffLimit": int, "entrypoint": str, "entrypointNumCpus": float,
        "entrypointResources": str, "jobId": str, "preRunningDeadlineSeconds": int, "rayClusterSpec": dict,
        "runtimeEnvYAML": str, "shutdownAfterJobFinishes": bool, "submissionMode": str, "suspend": bool,
        "ttlSecondsAfterFinished": int,
    },
    "cluster": {"headGroupSpec": dict, "rayVersion": str, "suspend": bool, "workerGroupSpecs": list},
    "head": {"labels": dict, "rayStartParams": dict, "resources": dict, "serviceType": str, "template": dict},
    "worker": {
        "groupName": str, "labels": dict, "maxReplicas": int, "minReplicas": int, "rayStartParams": dict,
        "replicas": int, "resources": dict, "template": dict,
    },
}  # fmt: skip


def problems(job: dict[str, Any]) -> Iterator[str]:
    """What KubeRay's schema would refuse, but for the pods."""
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    parts = [("spec", spec), ("cluster", cluster), ("head", cluster["headGroupSpec"])]
    parts += [("worker", one) for one in cluster["workerGroupSpecs"]]
    for kind, part in parts:
        for name, value in part.items():
            wanted = FIELDS[kind].get(name)
            if wanted is None or type(value) is not wanted:
                yield f"{kind}.{name}"
        for name, value in part.get("rayStartParams", {}).items():
            if type(value) is not str:
                yield f"{kind}.rayStartParams.{name}"


def pods() -> list[charts.Object]:
    cluster = JOB["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    head = {"apiVersion": "v1", "kind": "Pod"}
    return [{**head, "metadata": {"name": f"pod-{n}"}, "spec": one["template"]["spec"]} for n, one in enumerate(groups)]


def test_the_job_has_the_fields_of_kuberay() -> None:
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    assert list(problems(JOB)) == []


def test_a_field_that_is_none_is_found() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(JOB))
    wrong["spec"]["backoffLimits"] = 3
    wrong["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    assert list(problems(wrong)) == ["spec.backoffLimits", "head.rayStartParams.num-cpus"]


@pytest.mark.parametrize("version", kube_schemas.VERSIONS)
def test_its_pods_are_pods(version: str) -> None:
    assert list(kube_schemas.problems(pods(), version)) == []
