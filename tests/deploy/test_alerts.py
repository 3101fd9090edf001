"""The alerts: valid, unit-tested by promtool, and each with a section that says what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from moderation_service.observability.metrics import METRIC_NAMES

from .prometheus import program

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parents[2]
RULES = ROOT / "manifests/helm/moderation-service/files/alerts.yaml"
UNIT_TESTS = Path(__file__).with_name("alerts_test.yaml")
VLLM = ROOT / "tests/recordings/vllm/metrics.txt"


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments: object, cwd: Path = UNIT_TESTS.parent) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_prometheus_accepts_them() -> None:
    done = promtool("check", "rules", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_fires_when_it_should_and_else_not() -> None:
    done = promtool("test", "rules", UNIT_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = yaml.safe_load(UNIT_TESTS.read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in alerts()}


def test_the_unit_tests_notice_each_that_never_fires(tmp_path: Path) -> None:
    document = yaml.safe_load(RULES.read_text())
    for rule in document["groups"][0]["rules"]:
        rule["expr"] = f"({rule['expr']}) and on () vector(1) > 1"
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(document))
    tests = yaml.safe_load(UNIT_TESTS.read_text()) | {"rule_files": ["alerts.yaml"]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    done = promtool("test", "rules", "tests.yaml", cwd=tmp_path)
    missed = set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr))
    assert (done.returncode, missed) == (1, {rule["alert"] for rule in alerts()})


def test_they_use_metrics_that_exist() -> None:
    recorded = set(re.findall(r"^# TYPE (\S+)", VLLM.read_text(), re.MULTILINE))
    for rule in alerts():
        for name in re.findall(r"\b(?:moderation|process|vllm)[_:][\w:]+", re.sub(r'"[^"]*"', '""', rule["expr"])):
            plain = re.sub(r"_(bucket|count|sum)$", "", name)
            assert {name, plain} & {*METRIC_NAMES, *recorded}, f"{rule['alert']}: {name}"


def test_each_says_what_it_is_about_in_a_sentence_and_how_grave_it_is() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["description"].endswith(".")
        assert not rule["annotations"]["summary"].endswith(".")
