"""The dashboard: Grafana's own types, and a real Prometheus that answers each of its queries after real traffic."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_guard_server import BOMB, BREAD, FakeServer, Request, guard, reply
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from processes import SERVE_LITE, running
from scored_guard import scored

from moderation_service.observability.metrics import Metrics

from .prometheus import Prometheus, exposing, scraping

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parents[2]
FILE = ROOT / "manifests/helm/moderation-service/files/dashboard.json"
RULES = FILE.with_name("alerts.yaml")
DOCUMENT = json.loads(FILE.read_text())
PANELS = [panel for panel in DOCUMENT["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dashboard", ROOT / "tools/dashboard/make_dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_it_is_what_its_generator_writes(generator: ModuleType) -> None:
    assert FILE.read_text() == generator.render(), "run `python tools/dashboard/make_dashboard.py`"


def missing(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """What of ours Grafana's types have dropped because they do not know it."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key not in theirs:
                yield f"{path}.{key}"
            else:
                yield from missing(value, theirs[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from missing(one, other, f"{path}[{number}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} became {theirs!r}"


def test_grafanas_types_know_every_field_of_it() -> None:
    understood = json.loads(JSONEncoder().encode(Dashboard.from_json(DOCUMENT)))
    assert list(missing(DOCUMENT, understood)) == []


def test_every_panel_can_be_read_by_somebody_new() -> None:
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
    ids = [panel["id"] for panel in DOCUMENT["panels"]]
    assert len(ids) == len(set(ids))
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DOCUMENT["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert grid["x"] + grid["w"] <= 24
        taken |= cells


APPS = """
apps:
  shop:
    doors: [moderate]
    keys: {main: {sha256: 1ac0ddc01bddf53264ea38a725215f70477e5ad077176b4e7487a886a2523f7a}}
"""
UNSURE = "small=0.5,0.3,0.2"


class Shared:
    """What needs a database, a webhook's receiver or Redis to be counted in a service: counted with each scrape."""

    def __init__(self) -> None:
        self._metrics = Metrics(version="1")
        self._metrics.configured(slots=1, policies=())

    def __call__(self) -> bytes:
        metrics = self._metrics
        metrics.cluster_failed("timeout")
        metrics.cluster_read(is_found=True)
        metrics.cluster_read(is_found=False)
        metrics.cluster_away(is_away=True)
        metrics.limits_store_failed()
        metrics.escalated("balanced")
        metrics.made_stricter("balanced", "block")
        metrics.records_written(5)
        metrics.records_waiting(3)
        metrics.records_dropped(1)
        metrics.webhook_sent("blocked", "delivered")
        return metrics.render()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen a cascade, of whose larger model one of two servers is down, and vLLM's own metrics as recorded."""

    def behave(request: Request):  # type: ignore[no-untyped-def]
        if request.path == "/v1/chat/completions" and "protest" in json.dumps(request.body):
            return reply(500, {})
        return guard(request)

    apps = tmp_path_factory.mktemp("dashboard") / "apps.yaml"
    apps.write_text(APPS)
    small, model, nobody = FakeServer(scored("small")), FakeServer(behave), FakeServer()
    nobody.start()
    nobody.stop()
    small.start()
    model.start()
    recorded = (ROOT / "tests/recordings/vllm/metrics.txt").read_bytes()
    upstreams = ("--upstream", model.url, "--upstream", f"http://127.0.0.1:{nobody.port}")
    flags = ("--engine", "cascade", *upstreams, "--workers", "2", "--upstream-concurrency", "1")
    variables = {
        "MODERATION_SMALL_UPSTREAMS": small.url,
        "MODERATION_CASCADE_SAMPLE": "1",
        "MODERATION_APPS_FILE": str(apps),
        "MODERATION_OPEN_METRICS": "true",
    }
    try:
        with (
            running(*flags, command=SERVE_LITE, **variables) as service,
            exposing(lambda: recorded) as vllm,
            exposing(Shared()) as shared,
            scraping({"guard": service.port, "shared": shared, "vllm": vllm}, rules=RULES) as started,
        ):
            for number in range(4):
                for text in (BREAD, BOMB, f"{BREAD} {number}", f"{UNSURE} {number}", f"protest {number} {UNSURE}"):
                    sent = service.request("POST", "/moderate", {"prompt": text}, X_API_Key="key-of-the-shop-1")
                    assert sent.status == 200, sent.body
                service.request("POST", "/moderate", {"prompt": 1}, X_API_Key="key-of-the-shop-1")
                refused = service.request("POST", "/v1/moderations", {"input": "x"}, X_API_Key="key-of-the-shop-1")
                assert refused.status == 403
                seen = samples_of(started)
                started.until(lambda seen=seen: samples_of(started) > seen)  # type: ignore[misc]
            yield started
    finally:
        model.stop()
        small.stop()


def samples_of(prometheus: Prometheus) -> float:
    found = prometheus.query('count_over_time(up{job="guard"}[1m])')
    return float(found[0]["value"][1]) if found else 0.0


def concrete(expression: str) -> str:
    for name, value in (
        ("$namespace", ".*"),
        ("$job", "guard|shared"),
        ("$guard", ".*guard.*"),
        ("$__rate_interval", "20s"),
    ):
        expression = expression.replace(name, value)
    return expression


@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=[title for title, _ in QUERIES])
def test_a_query_finds_something(prometheus: Prometheus, title: str, expression: str) -> None:
    assert "$" not in concrete(expression)
    if "moderation_failures_total" in expression:
        # Every failure here had a fail mode; that the metric exists is tested in tests/web/test_health_metrics.py.
        assert prometheus.query(concrete(expression)) == []
        return
    found = prometheus.found(concrete(expression))
    labels = {label for one in found for label in one["metric"]}
    (legend,) = {
        target["legendFormat"] for panel in PANELS for target in panel["targets"] if target["expr"] == expression
    }
    assert set(re.findall(r"{{(\w+)}}", legend)) <= labels


def test_the_agreement_of_a_cascades_sample_is_a_share(prometheus: Prometheus) -> None:
    for title, expression in QUERIES:
        if "sample" in expression:
            prometheus.until(lambda expression=expression: 0 <= number_of(prometheus, expression) <= 1)  # type: ignore[misc]
            assert title.startswith(("Agreement", "Let pass"))


def number_of(prometheus: Prometheus, expression: str) -> float:
    (one,) = prometheus.query(concrete(expression))
    return float(one["value"][1])


def test_the_variables_find_the_job_and_the_model(prometheus: Prometheus) -> None:
    variables = {one["name"]: one for one in DOCUMENT["templating"]["list"][1:]}
    # A Prometheus outside Kubernetes has no namespaces, and "all" is then everything.
    assert variables.pop("namespace")["allValue"] == ".*"
    for variable in variables.values():
        metric, label = re.findall(r"label_values\(([\w:]+)(?:{.*})?, (\w+)\)", variable["query"]["query"])[0]
        values = {one["metric"][label] for one in prometheus.found(metric)}
        pattern = variable["regex"].strip("/i") or ".*"
        assert values
        assert all(re.fullmatch(pattern, value, re.IGNORECASE) for value in values)


def test_the_alerts_are_loaded_and_healthy(prometheus: Prometheus) -> None:
    prometheus.until(lambda: all(rule["health"] == "ok" for rule in rules_of(prometheus)))
    prometheus.until(lambda: "ModerationReplicaEjected" in pending_of(prometheus))
    assert not {"ModerationReloadFailed", "ModerationAuditFailed"} & pending_of(prometheus)
    # A scrape that a busy machine missed lets these two wait for a moment, and go again.
    prometheus.until(lambda: not {"ModerationDown", "ModerationTargetDown"} & pending_of(prometheus))


def pending_of(prometheus: Prometheus) -> set[str]:
    return {rule["name"] for rule in rules_of(prometheus) if rule["state"] != "inactive"}


def rules_of(prometheus: Prometheus) -> list[dict[str, Any]]:
    groups = prometheus.get("/api/v1/rules")["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]
