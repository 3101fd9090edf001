"""The values for the chart in front of each serving stack, beside what they are shown with."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import charts
import kube_checks
import kube_schemas
import pytest

SHOWN = charts.ROOT / "examples/serving-stacks"
NAMESPACE = "models"
STACKS = sorted(path.name.removesuffix(".values.yaml") for path in SHOWN.glob("*.values.yaml"))
RELEASE = "guard"
"""The release of another chart, in the command at the top of its values."""


def stack(name: str) -> list[Any]:
    return charts.load((SHOWN / f"{name}.yaml").read_text())


def values(name: str) -> charts.Object:
    return charts.read_values(SHOWN / f"{name}.values.yaml")


def own_service(name: str) -> tuple[str, int | None]:
    """The Service that the stack makes of what is shown, by its own rules for names, and its port."""
    objects = stack(name)
    match name:
        case "production-stack":
            return f"{RELEASE}-router-service", 80
        case "llm-d":
            [port] = objects[0]["router"]["extraServicePorts"]
            return f"{RELEASE}-epp", port["port"]
        case "ray-serve":
            return f"{objects[0]['metadata']['name']}-serve-svc", 8000
        case _:
            [service] = [one for one in objects if one["kind"] == "Service"]
            return service["metadata"]["name"], service["spec"]["ports"][0]["port"]


def test_there_is_one_for_each_stack() -> None:
    assert STACKS == ["aibrix", "kserve", "kserve-llm", "llm-d", "production-stack", "ray-serve"]


@pytest.mark.parametrize("name", STACKS)
def test_the_chart_takes_the_values(name: str) -> None:
    given = values(name)
    objects = charts.render(given)
    for version in kube_schemas.VERSIONS:
        assert list(kube_schemas.problems(objects, version)) == []
    assert kube_checks.problems(objects, charts.named_in(given)) == []


@pytest.mark.parametrize("name", sorted({*STACKS} - {"aibrix", "kserve-llm"}))
def test_the_address_is_that_of_the_stack_shown(name: str) -> None:
    [url] = values(name)["external"]["urls"]
    service, port = own_service(name)
    assert urlsplit(url).hostname == f"{service}.{NAMESPACE}.svc"
    assert urlsplit(url).port == port


def test_the_path_of_kserves_gateway_is_the_models_namespace_and_name() -> None:
    [url] = values("kserve-llm")["external"]["urls"]
    assert urlsplit(url).path == f"/{NAMESPACE}/{stack('kserve-llm')[0]['metadata']['name']}"


@pytest.mark.parametrize("name", sorted({*STACKS} - {"llm-d"}))
def test_the_context_and_the_models_name_are_those_that_the_stack_serves(name: str) -> None:
    config = values(name)["gateway"]["config"]
    text = (SHOWN / f"{name}.yaml").read_text()
    assert "10240" in text
    assert config.get("upstream_context_tokens", 10240) == 10240
    assert f": {config['upstream_model']}\n" in text


@pytest.mark.parametrize("name", STACKS)
def test_what_is_shown_of_kubernetes_itself_is_valid(name: str) -> None:
    own = [one for one in stack(name) if one.get("apiVersion") in ("v1", "apps/v1")]
    for version in kube_schemas.VERSIONS:
        assert list(kube_schemas.problems(own, version)) == []
