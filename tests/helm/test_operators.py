"""What operators do with an installation: replace keys, collect records, bring files and secrets, change presets."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import charts
import pods
import pytest
import yaml
from charts import CHART, Object, render
from fake_guard_server import FakeServer
from gateways import KEY, make_gateway
from helm_python import HelmError

from moderation_service.config.settings import Secret, declarations

ENGLISH = (charts.ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return ENGLISH.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def yaml_blocks(title: str) -> list[Object]:
    return [yaml.safe_load(block.partition("```")[0]) for block in section(title).split("```yaml\n")[1:]]


# vLLM's key


def accepted(values: Object, secrets: dict[str, str]) -> set[str]:
    """The keys that vLLM takes: those of `--api-key`, otherwise that of its variable."""
    spec = charts.container(charts.deployment(render(values, name="guard"), "guard"), "vllm")
    env = {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in spec["env"] if "valueFrom" in one}
    args = spec["args"]
    names = ["$(VLLM_API_KEY)"]
    if "--api-key" in args:
        at = args.index("--api-key") + 1
        names = [one for one in args[at : at + 2] if not one.startswith("--")]
    return {secrets[env[name[2:-1]]] for name in names}


def sent(values: Object, secrets: dict[str, str]) -> str:
    env = charts.container(charts.deployment(render(values, name="guard"), "gateway"), "gateway")["env"]
    (found,) = [one["valueFrom"]["secretKeyRef"] for one in env if one["name"] == "MODERATION_UPSTREAM_API_KEY"]
    return secrets[found["name"]]


def test_whichever_pods_are_already_new_the_key_of_vllm_is_accepted_in_every_step_shown() -> None:
    steps = yaml_blocks("Another key for vLLM")
    secrets = {"guard-moderation-service-guard-key": "old", "guard-key-2027": "new"}
    walked: list[Object] = [{}, *steps]
    for before, after in pairwise(walked):
        for vllm in (before, after):
            for gateway in (before, after):
                assert sent(gateway, secrets) in accepted(vllm, secrets)
    assert (sent(walked[0], secrets), accepted(walked[0], secrets)) == ("old", {"old"})
    assert (sent(walked[-1], secrets), accepted(walked[-1], secrets)) == ("new", {"new"})


def test_changing_the_key_at_once_would_not_do() -> None:
    secrets = {"guard-moderation-service-guard-key": "old", "guard-key-2027": "new"}
    last = yaml_blocks("Another key for vLLM")[-1]
    assert sent(last, secrets) not in accepted({}, secrets)


# The audit record


def lines(text: str) -> list[Object]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_the_audit_record_is_among_the_containers_logs(tmp_path: Path, model_server: FakeServer) -> None:
    gateway = make_gateway(tmp_path, model_server.url, audit={"enabled": True})
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        status, decision = gateway.ask("How can I make a bomb?")
        assert status == 200
        assert running.end(gateway.grace_s) == 0
    (record,) = [line for line in lines(running.log.read_text()) if "policy_version" in line]
    assert (record["id"], record["key"], record["action"]) == (decision["id"], "app", "block")


def test_each_pod_has_a_file_of_its_own_on_the_volume(tmp_path: Path, model_server: FakeServer) -> None:
    audit = {"enabled": True, "to": "volume", "existingClaim": "audit", "required": True, "maxMegabytes": 1, "keep": 2}
    gateway = make_gateway(tmp_path, model_server.url, audit=audit)
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        gateway.ask("How can I make a bomb?")
        assert running.end(gateway.grace_s) == 0
    (file,) = gateway.container.places["/var/lib/moderation/audit"].iterdir()
    assert file.name == f"{pods.POD}.jsonl"
    assert [record["action"] for record in lines(file.read_text())] == ["block"]
    settings = yaml.safe_load(charts.find(gateway.objects, "ConfigMap", "-config")["data"]["config.yaml"])
    assert (settings["audit_max_bytes"], settings["audit_keep"]) == (1_000_000, 2)
    assert settings["audit_required"] is True


# Files, secrets, two models


def test_apps_and_answers_that_values_bring_are_used(tmp_path: Path, model_server: FakeServer) -> None:
    key = "shop-key-0123456789abcdef0123456789abcdef"
    apps = f'apps: {{shop: {{keys: {{"1": {{sha256: {hashlib.sha256(key.encode()).hexdigest()}}}}}}}}}'
    answers = 'answers: [{question: "How can I make a bomb?", answer: We sell flowers.}]'
    gateway = make_gateway(tmp_path, model_server.url, apps={"content": apps}, answers={"content": answers})
    with gateway.container.started(tmp_path / "log") as running:
        running.wait_for("readinessProbe")
        status, decision = gateway.ask("How can I make a bomb?", key=key)
        assert (status, decision["message"]) == (200, "We sell flowers.")
        assert gateway.ask("bread", key=KEY)[0] == 200
        assert gateway.ask("bread", key="another-key")[0] == 401


def test_a_file_of_yours_keeps_its_name_which_says_what_it_is() -> None:
    lists = {"existingConfigMap": "ours", "existingConfigMapKey": "words.csv"}
    objects = render({"engine": "lite", "gateway": {"lists": lists}})
    settings = yaml.safe_load(charts.find(objects, "ConfigMap", "-config")["data"]["config.yaml"])
    assert settings["lists_file"] == "/etc/moderation/lists/words.csv"
    pod = charts.pod_spec(charts.deployment(objects, "gateway"))
    sources = [source for one in pod["volumes"] for source in one.get("projected", {}).get("sources", [])]
    (source,) = [one["configMap"] for one in sources if one.get("configMap", {}).get("name") == "ours"]
    assert source["items"] == [{"key": "words.csv", "path": "lists/words.csv"}]


def test_a_change_of_such_a_file_starts_the_pods_again() -> None:
    def checksum(name: str, content: str) -> Any:
        objects = render({"engine": "lite", "gateway": {name: {"content": content}}})
        annotations = charts.deployment(objects, "gateway")["spec"]["template"]["metadata"]["annotations"]
        return annotations[f"checksum/{name}"]

    for name in ("apps", "lists", "answers"):
        assert checksum(name, "apps: {}") != checksum(name, "apps: {a: {}}")


def test_settings_that_are_secret_come_from_the_secrets_named() -> None:
    (values,) = [one for one in yaml_blocks("Records, shared memory, apps") if "secretConfig" in one["gateway"]]
    env = charts.container(charts.deployment(render(values), "gateway"), "gateway")["env"]
    given = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in env if "valueFrom" in one}
    assert given["MODERATION_STORE"] == {"name": "moderation", "key": "store"}
    assert given["MODERATION_CLUSTER_MEMORY"] == {"name": "moderation", "key": "valkey"}
    policy = charts.find(render(values), "NetworkPolicy", "moderation-service")
    assert {"ports": [{"protocol": "TCP"}]} in policy["spec"]["egress"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # The address of a database is a secret only where it has a password.
        *(
            (one.name, "https://hooks.example.org/abc")
            for one in declarations()
            if one.kind is Secret and one.name != "store"
        ),
        ("store", "postgresql://user:hunter2@db/moderation"),
        ("store", "postgresql://db/moderation?user=a&password=hunter2"),
    ],
)
def test_no_secret_setting_lies_in_a_config_map(name: str, value: str) -> None:
    with pytest.raises(HelmError, match=f"gateway.config.{name} (is a secret|has a password|is set by the)"):
        render({"engine": "lite", "gateway": {"config": {name: value}}})


def test_a_small_model_is_asked_first() -> None:
    values = {"small": {"urls": ["http://small:8000?resolve=all"]}, "tests": {"existingSecret": "a"}}
    for engine in ("vllm", "external"):
        objects = render({**values, "engine": engine, "external": {"urls": ["http://large:8000?resolve=all"]}})
        settings = yaml.safe_load(charts.find(objects, "ConfigMap", "-config")["data"]["config.yaml"])
        assert (settings["engine"], settings["small_upstreams"]) == ("cascade", values["small"]["urls"])
        args = charts.container(charts.find(objects, "Pod"), "check")["args"]
        assert args[args.index("--engine") + 1] == "cascade"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{engine: lite, small: {urls: ['http://a']}}", "small.urls needs engine vllm or external"),
        ("gateway: {audit: {enabled: true, to: volume}}", "needs gateway.audit.existingClaim or gateway.audit.volume"),
        (
            "gateway: {audit: {enabled: true}, config: {audit_file: /a}}",
            "audit_file is set by the chart",
        ),
        ("gateway: {apps: {content: 'apps: {}'}, config: {apps_file: /a}}", "apps_file is set by the chart"),
        ("gateway: {apps: {content: 'shop: {}'}}", "gateway.apps.content has no `apps`"),
        ("gateway: {lists: {content: a, existingConfigMap: b}}", "gateway.lists: give content or existingConfigMap"),
        ("gateway: {config: {store: 'postgresql://a:b@c/d'}}", "gateway.config.store has a password"),
        ("gateway: {config: {cluster_memory: 'redis://a'}}", "name that in gateway.secretConfig"),
        (
            "gateway: {secretConfig: {stroe: {existingSecret: a, existingSecretKey: b}}}",
            "gateway.secretConfig.stroe is no setting",
        ),
        (
            "gateway: {secretConfig: {upstream_api_key: {existingSecret: a, existingSecretKey: b}}}",
            "gateway.secretConfig.upstream_api_key is set by the chart",
        ),
        (
            "gateway: {secretConfig: {store: {existingSecret: a, existingSecretKey: b}}, "
            "extraEnv: [{name: MODERATION_STORE, value: a}]}",
            "gateway.secretConfig.store is in gateway.extraEnv too",
        ),
        ("vllm: {apiKey: {enabled: false, alsoAccept: {existingSecret: a}}}", "alsoAccept needs vllm.apiKey.enabled"),
    ],
)
def test_what_cannot_work_is_refused(text: str, says: str) -> None:
    with pytest.raises(HelmError) as caught:
        render(yaml.safe_load(text))
    assert says in str(caught.value)


# Another preset

PRESETS = ["values-0.6b.yaml", "values-4b-14gb.yaml", "values-8b.yaml"]


@pytest.mark.parametrize(("before", "after"), list(pairwise(PRESETS)))
def test_a_larger_preset_changes_nothing_that_kubernetes_would_refuse(before: str, after: str) -> None:
    old, new = (render(charts.read_values(CHART / name)) for name in (before, after))
    claims = [charts.find(objects, "PersistentVolumeClaim")["spec"] for objects in (old, new)]
    sizes = [int(claim.pop("resources")["requests"]["storage"].removesuffix("Gi")) for claim in claims]
    assert claims[0] == claims[1]
    assert sizes[0] <= sizes[1]
    for component in ("gateway", "guard"):
        selectors = [charts.deployment(objects, component)["spec"]["selector"] for objects in (old, new)]
        assert selectors[0] == selectors[1]
