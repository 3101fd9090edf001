"""`values.schema.json` refuses typos at every level, and the chart says what else can't work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import charts
import pytest
import yaml
from charts import CHART, Object, render
from helm_python import HelmError

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFAULTS = charts.read_values(CHART / "values.yaml")
# Objects of Kubernetes, settings of the service, and labels have keys that the chart does not know.
OPEN = {"labels", "annotations", "resourceList", "volumes", "affinity"}


def resolved(schema: Object) -> Object:
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema


def places(values: Any, schema: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Object]]:
    """Every mapping among the default values with its schema."""
    if not isinstance(values, dict):
        return
    schema = resolved(schema)
    yield path, schema
    for key, value in values.items():
        if key in schema.get("properties", {}):
            yield from places(value, schema["properties"][key], (*path, key))


PLACES = dict(places(DEFAULTS, SCHEMA))
CLOSED = [path for path, schema in PLACES.items() if "properties" in schema]


def nested(path: tuple[str, ...], value: Any) -> Object:
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def test_there_are_many_levels_and_all_of_ours_are_closed() -> None:
    assert len(CLOSED) > 50
    open_ones = {path for path, schema in PLACES.items() if schema.get("additionalProperties") is not False}
    ours = {".".join(path) for path in open_ones if "properties" in PLACES[path]}
    assert ours == set()


@pytest.mark.parametrize("path", CLOSED, ids=lambda path: ".".join(path) or "top")
def test_a_typo_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(HelmError, match="tpyo"):
        render(nested((*path, "tpyo"), 1))


def test_the_schema_knows_every_value_and_no_other() -> None:
    for path, schema in PLACES.items():
        value: Any = DEFAULTS
        for key in path:
            value = value[key]
        if "properties" in schema:
            unknown = set(value) - set(schema["properties"])
            assert not unknown, f"{path}: {unknown}"
            # An object of Kubernetes may have more fields than its default.
            if schema.get("required"):
                assert set(schema["required"]) == set(value), path


def test_every_definition_is_used() -> None:
    text = json.dumps(SCHEMA)
    assert [name for name in SCHEMA["definitions"] if f'"#/definitions/{name}"' not in text] == []


def test_every_value_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    top = [key for key in DEFAULTS if key not in ("nameOverride", "fullnameOverride")]
    for key in top:
        number = next(index for index, line in enumerate(lines) if line.startswith(f"{key}:"))
        assert lines[number - 1].startswith("#"), key


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("engine: gpu", "engine"),
        ("gateway: {replicas: two}", "replicas"),
        ("gateway: {readiness: maybe}", "readiness"),
        ("gateway: {image: {digest: sha256:abc}}", "digest"),
        ("gateway: {apiKeys: {keys: [short]}}", "keys"),
        ("gateway: {config: {Workers: 2}}", "Workers"),
        ("gateway: {config: {workers: {a: 1}}}", "workers"),
        ("gateway: {tmpSizeLimit: 20Gigs}", "tmpSizeLimit"),
        ("gateway: {containerPort: 80000}", "containerPort"),
        ("vllm: {gpuMemoryUtilization: 1.5}", "gpuMemoryUtilization"),
        ("vllm: {gpu: {resourceName: gpu}}", "resourceName"),
        ("vllm: {gpu: {count: 0.5}}", "count"),
        ("vllm: {gpu: {count: 3}}", "count"),
        ("vllm: {autoscaling: {minReplicas: 0}}", "minReplicas"),
        ("gateway: {service: {loadBalancerSourceRanges: [everybody]}}", "loadBalancerSourceRanges"),
        ("gateway: {podDisruptionBudget: {minAvailable: half}}", "minAvailable"),
        ("gateway: {ingress: {hosts: [{pathType: Regex}]}}", "pathType"),
        ("gateway: {hostAliases: [{ip: here, hostnames: [a]}]}", "ip"),
        ("gateway: {extraContainers: [{name: a}]}", "image"),
        ("vllm: {model: {name: Qwen3Guard}}", "name"),
        ("vllm: {model: {path: /etc}}", "path"),
        ("vllm: {model: {path: /models/../etc}}", "path"),
        ("vllm: {persistence: {accessModes: []}}", "accessModes"),
        ("external: {urls: ['http://user:pw@guard']}", "urls"),
        ("external: {urls: ['http://guard?resolve=some']}", "urls"),
        ("networkPolicy: {vllm: {from: [{podselector: {}}]}}", "podselector"),
        ("vllm: {resources: {limit: {cpu: 1}}}", "limit"),
        ("stream: {externalUrl: 'ftp://a'}", "externalUrl"),
        ("stream: {files: {path: ../etc}}", "path"),
        ("stream: {autoscaling: {enabled: true}}", "autoscaling"),
        ("vllm: {tolerations: [{key: a, efect: NoSchedule}]}", "efect"),
        ("gateway: {podSecurityContext: {runAsUser: root}}", "runAsUser"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(values: str, message: str) -> None:
    with pytest.raises(HelmError, match=message):
        render(yaml.safe_load(values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("engine: external", "engine external needs external.urls"),
        ("gateway: {config: {port: 80}}", "gateway.config.port is set by the chart; use gateway.containerPort instead"),
        ("gateway: {config: {api_keys: ['a:bcdefghij']}}", "gateway.config.api_keys is set by the chart"),
        ("gateway: {config: {chat_api_key: abc}}", "gateway.config.chat_api_key is a secret"),
        ("gateway: {extraEnv: [{name: HOME, value: /}]}", "gateway.extraEnv: HOME is set by the chart"),
        (
            "gateway: {extraEnv: [{name: MODERATION_UPSTREAM_API_KEY, value: a}]}",
            "MODERATION_UPSTREAM_API_KEY is set by the chart",
        ),
        ("vllm: {extraEnv: [{name: VLLM_API_KEY, value: a}]}", "vllm.extraEnv: VLLM_API_KEY is set by the chart"),
        ("vllm: {extraArgs: [--port=9]}", "vllm.extraArgs: --port is set by the chart"),
        ("vllm: {model: {extraEnv: [{name: HF_TOKEN, value: a}]}}", "a token is named in vllm.model.token"),
        ("gateway: {apiKeys: {existingSecret: a, keys: ['a:bcdefghij']}}", "give keys or existingSecret, not both"),
        ("gateway: {policies: {existingConfigMap: a, content: b}}", "give content or existingConfigMap, not both"),
        ("gateway: {autoscaling: {enabled: true, minReplicas: 9}}", "minReplicas is more than maxReplicas"),
        ("gateway: {ingress: {enabled: true}}", "gateway.ingress needs hosts"),
        ("gateway: {httpRoute: {enabled: true}}", "gateway.httpRoute needs parentRefs"),
        ("vllm: {model: {source: none}}", "vllm.model.source none needs vllm.model.path"),
        ("vllm: {model: {source: none, path: /models/a}}", "needs a volume with the model"),
        (
            "vllm: {model: {source: none, path: /models/a}, persistence: {enabled: false}}",
            "needs vllm.persistence.enabled",
        ),
        (
            "vllm: {persistence: {existingClaim: a, volume: {hostPath: {path: /a}}}}",
            "vllm.persistence: give existingClaim or volume, not both",
        ),
        ("vllm: {apiKey: {existingSecret: a, value: bcdefghi}}", "vllm.apiKey: give value or existingSecret, not both"),
        (
            "{vllm: {autoscaling: {enabled: true}, persistence: {enabled: false}}, networkPolicy: {enabled: false}}",
            "vllm.autoscaling needs serverAddress",
        ),
        ("gateway: {config: {wrokers: 4}}", "gateway.config.wrokers is no setting of the service"),
        ("gateway: {policies: {content: 'policies: ['}}", "gateway.policies.content can't be read as YAML"),
        ("gateway: {policies: {content: 'strict: {}'}}", "gateway.policies.content has no `policies`"),
        (
            "gateway: {resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}",
            "gateway.resources: the request of memory (2Gi) is more than its limit (1Gi)",
        ),
        ("vllm: {resources: {requests: {cpu: 1500m}, limits: {cpu: 1}}}", "vllm.resources: the request of cpu (1500m)"),
        ("vllm: {model: {resources: {requests: {memory: 2e9}}}}", "vllm.model.resources: the request of memory"),
        ("gateway: {tmpSizeLimit: 2Gi}", "gateway.tmpSizeLimit (2Gi) is in memory and counts towards the limit"),
        ("vllm: {shmSizeLimit: 32Gi}", "vllm.shmSizeLimit (32Gi) is in memory"),
        ("vllm: {replicas: 2}", "vllm.persistence: 2 replicas may be on several nodes"),
        ("stream: {enabled: true, replicas: 3}", "stream.persistence: 3 replicas may be on several nodes"),
        (
            "vllm: {autoscaling: {enabled: true, serverAddress: 'http://p:9090'}, persistence: {enabled: false}}",
            "vllm.autoscaling asks Prometheus, which may not reach vLLM",
        ),
        ("metrics: {serviceMonitor: {enabled: true}}", "metrics: Prometheus may not reach vLLM"),
        ("metrics: {podMonitor: {enabled: true}}", "metrics: Prometheus may not reach vLLM"),
        (
            "{engine: lite, metrics: {serviceMonitor: {enabled: true}, podMonitor: {enabled: true}}}",
            "give serviceMonitor or podMonitor, not both",
        ),
        (
            "gateway: {autoscaling: {enabled: true, by: requests}}",
            "gateway.autoscaling.by requests needs gateway.autoscaling.serverAddress",
        ),
        ("gateway: {podDisruptionBudget: {maxUnavailable: 0}}", "gateway.podDisruptionBudget lets no pod go"),
        (
            "gateway: {podDisruptionBudget: {maxUnavailable: 2, minAvailable: 1}}",
            "gateway.podDisruptionBudget: give minAvailable or maxUnavailable, not both",
        ),
        (
            "gateway: {service: {loadBalancerSourceRanges: [10.0.0.0/8]}}",
            "gateway.service.loadBalancerSourceRanges is for type LoadBalancer",
        ),
        (
            "stream: {enabled: true, externalUrl: 'http://a', model: {source: none}}",
            "stream.model.source none needs stream.files.existingClaim",
        ),
        (
            "stream: {enabled: true, files: {existingClaim: a}, model: {source: none}}",
            "stream.model.source none needs stream.model.path",
        ),
        (
            "stream: {enabled: true, files: {existingClaim: a, volume: {hostPath: {path: /a}}}}",
            "stream.files: give existingClaim or volume, not both",
        ),
        (
            "stream: {enabled: true, persistence: {existingClaim: a, volume: {hostPath: {path: /a}}}}",
            "stream.persistence: give existingClaim or volume, not both",
        ),
        ("stream: {enabled: true, files: {path: a}}", "it needs stream.files.existingClaim or stream.files.volume"),
        ("stream: {enabled: true, apiKey: {existingSecret: a}}", "stream.apiKey is for stream.externalUrl"),
        ("stream: {enabled: true, extraArgs: [--hf-overrides, a]}", "stream.extraArgs: --hf-overrides is set by"),
        ("stream: {enabled: true, extraArgs: [--port=9]}", "stream.extraArgs: --port is set by the chart"),
        ("stream: {extraEnv: [{name: HOME, value: /}]}", "stream.extraEnv: HOME is set by the chart"),
        (
            "{stream: {enabled: true}, gateway: {config: {stream_upstream: 'http://a'}}}",
            "gateway.config.stream_upstream is set by the chart; use stream.externalUrl instead",
        ),
        (
            "{stream: {enabled: true}, gateway: {extraEnv: [{name: MODERATION_STREAM_MODEL_DIR, value: /a}]}}",
            "gateway.extraEnv: MODERATION_STREAM_MODEL_DIR is set by the chart",
        ),
        ("fullnameOverride: vllm", "A Service named vllm"),
    ],
)
def test_what_cannot_work_together_is_refused_with_what_to_do(values: str, message: str) -> None:
    with pytest.raises(HelmError) as caught:
        render(yaml.safe_load(values))
    assert message in str(caught.value)
