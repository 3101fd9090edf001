"""Hundreds of values drawn from `values.schema.json`: each is rendered to objects that fit together, or refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import charts
import kube_checks
import kube_schemas
from charts import CHART, Object, render
from helm_python import HelmError
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

REFUSALS = (
    "is set by the chart",
    "is a secret and would be readable",
    "needs external.urls",
    "not both",
    "minReplicas is more than maxReplicas",
    "vllm.model.source none needs",
    "stream.model.source none needs",
    "stream.files.path is a folder of a volume",
    "stream.apiKey is for stream.externalUrl",
    "needs serverAddress",
    "needs parentRefs",
    "ingress needs hosts",
    "A Service named vllm",
    "is no setting of the service",
    "is more than its limit",
    "counts towards the limit",
    "lets no pod go",
    "replicas may be on several nodes",
    "Prometheus, which may not reach vLLM",
    "Prometheus may not reach vLLM",
    "needs gateway.autoscaling.serverAddress",
    "counted twice",
    "is for type LoadBalancer",
    "needs gateway.audit.existingClaim",
    "small.urls needs engine",
    "small.enabled needs engine",
    "small: give enabled or urls",
    "small.apiKey.value and small.apiKey.alsoAccept are for small.enabled",
    "small.model.name is that of vllm",
    "small.model.source none needs",
    "alsoAccept needs",
    "has no `apps`",
)
# What the values themselves ask for.
ASKED_FOR = ("requests more", "has no limits", "an upgrade stops all", "lets no pod go")
# Names that YAML takes for something else unless they are quoted.
ODD_NAMES = ["a", "null", "true", "no", "123", "1e3", "0x1f", "a.b-c", "x" * 63]
VOLUME = {"name": "extra", "emptyDir": {}}
SAMPLES: dict[str, list[Any]] = {
    "name": ["", *ODD_NAMES],
    "secretKey": ["token", "null", "1e3", "a.b_c-D", "..data"],
    "url": ["", "http://hub.example.org", "https://[::1]:8443/a/b"],
    "labels": [{}, {"a.example.org/b": "true", "tier": "1"}, {"app.kubernetes.io/name": "mine"}],
    "annotations": [{}, {"a.example.org/b": "yes: no\n'#\"{{"}, {"checksum/config": "x"}],
    "env": [
        [],
        [{"name": "EXTRA", "value": "1e3"}, {"name": "MORE", "value": "{{ no template }}: 语言"}],
        [{"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "true", "key": "1"}}}],
        [{"name": "EMPTY"}],
    ],
    "quantity": ["1", "500m", "1.5Gi", "2e9", 1, 0.5],
    "resources": [
        {},
        {"limits": {"memory": "4Gi"}, "requests": {"cpu": 0.5, "memory": "1e9"}},
        {"limits": {"cpu": "64", "memory": "1Ti", "example.org/thing": 2}, "requests": {"example.org/thing": 2}},
    ],
    "affinity": [{}, {"podAntiAffinity": {}}],
    "volumes": [[], [VOLUME]],
    "volumeMounts": [[]],
    # The promise of a hardened pod holds for the chart's own containers.
    "containers": [[]],
    "hostAliases": [[], [{"ip": "10.0.0.1", "hostnames": ["a.b"]}]],
    "volumeSource": [{}, {"hostPath": {"path": "/srv"}}, {"nfs": {"server": "a", "path": "/b"}}],
    # What the promise of a hardened pod rests on is not drawn.
    "podSecurityContext": [{}, {"runAsUser": 12345}, {"supplementalGroups": [1]}],
    "securityContext": [{}, {"runAsUser": 12345}],
    "scaling": [
        {},
        {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
    ],
    "peers": [[], [{"namespaceSelector": {}}], [{"ipBlock": {"cidr": "10.0.0.0/8"}}]],
    "egress": [[], [{"ports": [{"port": 3128, "protocol": "TCP"}]}]],
    "topologySpread": [[], [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]],
}
PLACES: dict[tuple[str, ...], list[Any]] = {
    ("global",): [{}],
    ("nameOverride",): ["", "null", "moderation"],
    ("fullnameOverride",): ["", "null", "guard", "x" * 63],
    ("networkPolicy", "dnsPorts"): [[53], [5353, 53]],
    ("listenAddress",): ["0.0.0.0", "::"],
    ("imagePullSecrets",): [[], [{"name": "123"}, {"name": "registry"}]],
    ("extraObjects",): [[], [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}]],
    ("external", "urls"): [["http://a:8000"], ["http://a:8000", "https://b/v1"], ["http://a:8000?resolve=all"]],
    ("gateway", "config"): [
        {},
        {"workers": 4, "default_policy": "null", "deadline_s": 0.5, "max_body_bytes": 33554432},
        {"graceful_timeout_s": 120, "open_metrics": False, "upstream_model": "1e3", "allowed_hosts": ["yes", "1"]},
        {"odd": ["yes", 1]},
        {"api_keys": ["a:12345678"]},
        {"some_token": "abc"},
    ],
    ("gateway", "policies", "content"): [
        "",
        "policies: {}\n",
        "policies:\n  school: {message: 'Ü: 语言 \"{{ x }}\"'}\n",
    ],
    ("gateway", "apps", "content"): ["", "apps: {}\n", "shops: {}\n"],
    ("gateway", "lists", "content"): ["", "lists: {}\n"],
    ("gateway", "answers", "content"): ["", "answers: []\n"],
    ("gateway", "secretConfig"): [
        {},
        {"store": {"existingSecret": "true", "existingSecretKey": "1"}},
        {"cluster_key": {"existingSecret": "a", "existingSecretKey": "b"}},
        {"upstream_api_key": {"existingSecret": "a", "existingSecretKey": "b"}},
    ],
    ("small", "urls"): [[], ["http://a:8000?resolve=all"]],
    ("small", "extraArgs"): [[], ["--max-num-seqs", "64"]],
    ("small", "model", "name"): ["Qwen/Qwen3Guard-Gen-0.6B", "1/2"],
    ("small", "model", "revision"): ["", "1e3", "feature/x"],
    ("small", "model", "path"): ["", "/models/a/b.c"],
    ("small", "gpu", "resourceName"): ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb"],
    ("small", "persistence", "existingClaim"): ["", "null"],
    ("gateway", "apiKeys", "keys"): [[], ["a:12345678", "b:sha256:" + "0" * 64]],
    ("gateway", "extraEnvFrom"): [[], [{"configMapRef": {"name": "null"}}]],
    ("gateway", "autoscaling", "metrics"): [[]],
    ("vllm", "extraArgs"): [[], ["--max-num-seqs", "64", "--flag=a b: {c}"]],
    ("vllm", "model", "name"): ["Qwen/Qwen3Guard-Gen-4B", "1/2", "a/b.c_d-e"],
    ("vllm", "model", "revision"): ["", "v1.0", "1e3", "feature/x", "0123456789abcdef"],
    ("vllm", "model", "path"): ["", "/models", "/models/a/b.c"],
    ("vllm", "gpu", "resourceName"): ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "amd.com/gpu"],
    ("vllm", "persistence", "existingClaim"): ["", "null"],
    ("stream", "extraArgs"): [[], ["--max-num-seqs", "64"], ["--hf-overrides={}"]],
    ("stream", "model", "name"): ["Qwen/Qwen3Guard-Stream-4B", "1/2"],
    ("stream", "model", "revision"): ["", "1e3", "feature/x"],
    ("stream", "model", "path"): ["", "/models/a/b.c"],
    ("stream", "gpu", "resourceName"): ["nvidia.com/gpu", "amd.com/gpu"],
    ("stream", "persistence", "existingClaim"): ["", "null"],
    ("stream", "files", "path"): ["", "1e3", "a/b.c"],
    ("stream", "files", "existingClaim"): ["", "null"],
}


def to_draw_from() -> Object:
    """The schema, with samples where it allows any text."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    for name, samples in SAMPLES.items():
        assert name in schema["definitions"]
        schema["definitions"][name] = {"enum": samples}
    for path, samples in PLACES.items():
        place = schema
        for key in path[:-1]:
            place = place["properties"][key]
            if "$ref" in place:
                place.update(copy.deepcopy(schema["definitions"][place.pop("$ref").rpartition("/")[2]]))
        assert path[-1] in place["properties"], path
        place["properties"][path[-1]] = {"enum": samples}
    return dict(schema)


def drawn(schema: Object, definitions: Object) -> st.SearchStrategy[Any]:
    """Values of a schema of the kinds that ours has. Inside a list, everything that is required is there."""
    if "$ref" in schema:
        return drawn(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return st.one_of(*[drawn(one, definitions) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kind = schema["type"]
    if kind == "object":
        return st.fixed_dictionaries(
            {}, optional={name: drawn(one, definitions) for name, one in schema["properties"].items()}
        )
    if kind == "array":
        return st.lists(
            whole(schema["items"], definitions), min_size=schema.get("minItems", 0), max_size=2, unique_by=str
        )
    if kind == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if kind == "number":
        return st.floats(schema.get("exclusiveMinimum", 0), schema["maximum"], exclude_min=True)
    if kind == "string":
        return st.from_regex(schema["pattern"], fullmatch=True) if "pattern" in schema else st.text(max_size=5)
    assert kind == "boolean", schema
    return st.booleans()


def whole(schema: Object, definitions: Object) -> st.SearchStrategy[Any]:
    """An item of a list: its required fields are always there."""
    if schema.get("type") != "object":
        return drawn(schema, definitions)
    fields = {name: drawn(one, definitions) for name, one in schema["properties"].items()}
    needed = {name: fields.pop(name) for name in schema.get("required", [])}
    return st.fixed_dictionaries(needed, optional=fields)


SCHEMA = to_draw_from()


def merged(base: Any, over: Any) -> Any:
    """What Helm makes of the default values and those given."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {key: merged(base.get(key), over[key]) if key in over else base[key] for key in {**base, **over}}
    return over


DEFAULTS = charts.read_values(CHART / "values.yaml")


@settings(max_examples=200, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))
@given(
    values=drawn(SCHEMA, SCHEMA["definitions"]),
    name=st.sampled_from(["rel", "9", "true", "x" * 53, "moderation-service"]),
)
def test_any_values_make_objects_that_fit_together_or_are_refused_with_a_reason(values: Object, name: str) -> None:
    given_values = copy.deepcopy(values)
    try:
        objects = render(values, name=name)
    except HelmError as error:
        refusals = [refusal for refusal in REFUSALS if refusal in str(error)]
        assert refusals, f"{error}\n{given_values}"
        event(f"refused: {refusals[0]}")
        return
    event(f"rendered: {merged(DEFAULTS, values)['engine']}")
    existing = charts.named_in(merged(DEFAULTS, values))
    found = [
        problem
        for problem in kube_checks.problems(objects, existing)
        if not any(words in problem for words in ASKED_FOR)
    ]
    assert found == []
    for version in kube_schemas.VERSIONS:
        assert list(kube_schemas.problems(objects, version)) == []
