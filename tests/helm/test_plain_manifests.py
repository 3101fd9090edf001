"""manifests/kubernetes/*.yaml are what the chart renders, and can be applied without Helm."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import charts
import kube_checks
import kube_schemas
import pytest

FOLDER = charts.ROOT / "manifests" / "kubernetes"


def _load_script() -> Any:
    spec = importlib.util.spec_from_file_location("render_manifests", FOLDER / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = _load_script()
with_every_variant = pytest.mark.parametrize("variant", script.VARIANTS)


def objects_of(variant: str) -> list[charts.Object]:
    return charts.load((FOLDER / variant).read_text(encoding="utf-8"))


def test_there_is_a_file_for_every_variant() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == set(script.VARIANTS)


@pytest.mark.parametrize("major", [3, 4])
@with_every_variant
def test_the_files_are_what_the_chart_renders(major: int, variant: str) -> None:
    rendered = charts.load(script.render(variant, helm=str(charts.HELMS[major])))
    assert rendered == objects_of(variant), "run `python manifests/kubernetes/render.py --helm .tools/helm4/helm`"


@with_every_variant
def test_the_objects_fit_together(variant: str) -> None:
    objects = objects_of(variant)
    secrets = [("Secret", name) for name in ("moderation-service-api-keys", "moderation-service-guard-key")]
    assert kube_checks.problems(objects, secrets) == []
    for version in kube_schemas.VERSIONS:
        assert list(kube_schemas.problems(objects, version)) == []


@with_every_variant
def test_nothing_of_helm_and_no_secret_and_no_namespace_is_left(variant: str) -> None:
    for one in objects_of(variant):
        assert one["kind"] != "Secret"
        assert "namespace" not in one["metadata"]
        assert "helm.sh" not in str(one)
        assert "Helm" not in str(one)


def test_the_script_writes_the_files_elsewhere_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["render.py", "--helm", str(charts.HELMS[4]), "--to", str(tmp_path)])
    script.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(script.VARIANTS)
