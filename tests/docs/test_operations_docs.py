"""The operators' pages say what happens: their commands run, their tables are complete, both languages agree."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from processes import Running, environment, running

from moderation_service.commands.cli import cli
from moderation_service.config.settings import Settings
from moderation_service.launch.guard import GUARDS
from moderation_service.web.api_keys import load_api_keys

ROOT = Path(__file__).parents[2]
NAMES = ("operations", "monitoring", "deploy-gpu")
OLD = "old-0123456789abcdef"


def page(name: str, end: str = ".md") -> str:
    return (ROOT / "docs" / f"{name}{end}").read_text(encoding="utf-8")


def blocks(text: str, language: str = "sh") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def bash(script: str, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment(**variables), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((ROOT / "manifests/helm/moderation-service/files/alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def wait_for_new_workers(service: Running, before: set[int]) -> None:
    while before & set(service.workers()):
        assert service.request("GET", "/healthz").status == 200


def test_keys_are_rotated_by_the_commands_shown(tmp_path: Path) -> None:
    add, remove, _ = blocks(section(page("operations"), "Rotating keys"))
    keys = tmp_path / "api_keys"
    keys.write_text(f"app-1:{OLD}\n")
    with running("--workers", "1", "--api-keys-file", str(keys)) as service:
        pid = str(service.process.pid)
        assert service.request("GET", "/policies", X_API_Key=OLD).status == 200
        before = set(service.workers())
        key = bash(f"{add}\necho $key", tmp_path, PID=pid).strip()
        wait_for_new_workers(service, before)
        assert service.request("GET", "/policies", X_API_Key=OLD).status == 200
        assert service.request("GET", "/policies", X_API_Key=key).status == 200
        before = set(service.workers())
        bash(remove, tmp_path, PID=pid)
        wait_for_new_workers(service, before)
        assert service.request("GET", "/policies", X_API_Key=OLD).status == 401
        assert service.request("GET", "/policies", X_API_Key=key).status == 200
    assert key not in keys.read_text()


def test_the_files_for_docker_compose_are_made_by_the_commands_shown(tmp_path: Path) -> None:
    folder = tmp_path / "manifests" / "compose"
    shutil.copytree(ROOT / "manifests/compose", folder, ignore=shutil.ignore_patterns(".env", "api_keys"))
    shown = blocks(section(page("deploy-gpu"), "With docker compose"))
    said = bash(shown[0], tmp_path)
    key = said.strip().rpartition(" ")[2]
    variables = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines() if line[:1].isalpha())
    assert re.fullmatch("[0-9a-f]{48}", variables["VLLM_API_KEY"])
    found = load_api_keys(Settings(api_keys_file=folder / "config" / "api_keys"))
    assert found.identify(key) == "app-1"
    assert "COMPOSE_PROFILES" not in variables
    (switch,) = [one for one in shown[1:] if "COMPOSE_PROFILES" in one]
    bash(switch, folder)
    assert {"COMPOSE_PROFILES=stream", "MODERATION_STREAM_UPSTREAM=http://guard-stream:8000"} <= set(
        (folder / ".env").read_text().splitlines()
    )


def test_the_command_that_sends_traces_is_understood() -> None:
    (block,) = [one for one in blocks(page("monitoring")) if "--traces" in one]
    words = next(line for line in block.splitlines() if line.startswith("moderation-service ")).split()
    assert CliRunner().invoke(cli, [*words[1:], "--help"]).exit_code == 0


@pytest.mark.parametrize("end", [".md", ".zh-CN.md"])
def test_every_alert_is_listed_and_has_a_section(end: str) -> None:
    row = r"^\| \[(Moderation\w+)\]\(operations(?:\.zh-CN)?\.md#(\w+)\) \| (\w+) \|"
    listed = re.findall(row, page("monitoring", end), re.M)
    expected = [
        (one["alert"], one["annotations"]["runbook"].partition("#")[2], one["labels"]["severity"]) for one in alerts()
    ]
    assert listed == expected
    titles = re.findall(r"^### (Moderation\w+)$", page("operations", end), re.M)
    assert {title.lower() for title in titles} == {anchor for _, anchor, _ in expected}
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("end", [".md", ".zh-CN.md"])
def test_the_estimates_for_gpus_follow_from_what_is_said_about_them(end: str) -> None:
    rows = re.findall(r"^\| [\w ]+[（(](\d+) TFLOPS[)）] \| (\d+) \| (\d+) \| (\d+) \|$", page("operations", end), re.M)
    assert len(rows) == 4
    parameters = sorted(guard.weights_bytes / 2 for guard in GUARDS)
    for tflops, *shown in rows:
        computed = [0.4 * float(tflops) * 1e12 / (2 * count * 300) for count in parameters]
        assert [float(one) for one in shown] == [pytest.approx(one, rel=0.05) for one in computed]
