"""docs/kubernetes.md and its Chinese twin: commands run as far as that goes without a cluster, values render."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import charts
import kube_checks
import pytest
import yaml
from click.testing import CliRunner

from moderation_service.commands.download import download_command

PAGES = ("kubernetes.md", "kubernetes.zh-CN.md")
CHART_README = charts.CHART / "README.md"
KUBECTL = charts.HELMS[4].with_name("kubectl")
NO_CLUSTER = re.compile(r"cluster unreachable|connection refused|the server could not find", re.IGNORECASE)
# Nobody listens there; a cluster that the user of this machine has is not asked.
NOWHERE = "http://127.0.0.1:9"


def text_of(page: str) -> str:
    return (charts.ROOT / "docs" / page).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str, program: str) -> list[list[str]]:
    lines = [line for block in blocks(text, "sh") for line in block.replace("\\\n", "").splitlines()]
    return [words for words in map(shlex.split, lines) if words and words[0] == program]


HELM = commands(text_of(PAGES[0]) + CHART_README.read_text(encoding="utf-8"), "helm")


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *words], cwd=charts.ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_both_languages_show_the_same_commands_and_values() -> None:
    english, chinese = map(text_of, PAGES)
    assert blocks(english, "sh") == blocks(chinese, "sh")
    assert blocks(english, "yaml") == blocks(chinese, "yaml")
    assert english.count("\n## ") == chinese.count("\n## ")


def test_there_are_commands_for_everything_one_does_with_a_release() -> None:
    assert {words[1] for words in HELM} >= {"install", "test", "show", "upgrade", "rollback", "uninstall"}


@pytest.mark.parametrize("words", [words for words in HELM if words[1] == "install"], ids=" ".join)
def test_an_installation_shown_works_up_to_the_cluster(words: list[str]) -> None:
    done = run(charts.HELMS[4], *words[1:], "--dry-run=client")
    assert done.returncode == 0, done.stderr
    assert "kind: Deployment" in done.stdout
    assert "helm test guard" in done.stdout
    # Helm 3 wants to see the cluster even then; what it would send there is the same.
    done = run(charts.HELMS[3], *words[1:], "--kube-apiserver", NOWHERE)
    assert NO_CLUSTER.search(done.stderr), done.stderr
    done = run(charts.HELMS[3], "template", *words[2:])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("major", [3, 4])
@pytest.mark.parametrize("words", [words for words in HELM if words[1] == "upgrade"], ids=" ".join)
def test_an_upgrade_shown_renders_and_has_flags_that_exist(major: int, words: list[str]) -> None:
    done = run(charts.HELMS[major], *words[1:], "--kube-apiserver", NOWHERE)
    assert NO_CLUSTER.search(done.stderr), done.stderr
    # What the cluster would get, without the values that only it knows.
    done = run(charts.HELMS[major], "template", *[word for word in words[2:] if word != "--reset-then-reuse-values"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words", [one for one in HELM if one[1] in ("test", "rollback", "uninstall", "show")], ids=" ".join
)
def test_other_commands_shown_are_understood(words: list[str]) -> None:
    for major in (3, 4):
        done = run(charts.HELMS[major], *words[1:], "--kube-apiserver", NOWHERE)
        assert done.returncode == 0 or NO_CLUSTER.search(done.stderr), done.stderr


@pytest.mark.parametrize("words", commands(text_of(PAGES[0]), "kubectl"), ids=" ".join)
def test_a_kubectl_command_shown_is_understood(words: list[str]) -> None:
    if "create" in words:
        done = run(KUBECTL, *words[1:], "--dry-run=client", "--output=yaml")
        assert done.returncode == 0, done.stderr
    else:
        done = run(KUBECTL, *words[1:], "--server", NOWHERE)
        assert NO_CLUSTER.search(done.stderr), done.stderr


def test_the_names_in_kubectls_commands_are_those_of_the_release() -> None:
    objects = charts.render(name="guard")
    there = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in objects}
    for words in commands(text_of(PAGES[0]), "kubectl"):
        assert {word for word in words if word.startswith("deployment/")} <= there, words
    assert "secret/guard-moderation-service-api-keys" in there
    assert "persistentvolumeclaim/guard-moderation-service-guard-models" in there


def test_secrets_made_by_the_commands_have_the_names_and_keys_that_are_asked_for() -> None:
    wanted = charts.load((charts.ROOT / "manifests" / "kubernetes" / "vllm.yaml").read_text(encoding="utf-8"))
    for words in commands(text_of(PAGES[0]), "kubectl"):
        if "moderation-service-" in str(words) and "create" in words:
            wanted.append(yaml.safe_load(run(KUBECTL, *words[1:], "--dry-run=client", "--output=yaml").stdout))
    assert kube_checks.problems(wanted) == []


@pytest.mark.parametrize("text", blocks(text_of(PAGES[0]), "yaml"))
def test_values_shown_render(text: str) -> None:
    values = yaml.safe_load(text)
    assert kube_checks.problems(charts.render(values), charts.named_in(values)) == []


def test_the_download_shown_is_understood_and_leads_to_the_folder_shown() -> None:
    (words,) = commands(text_of(PAGES[0]), "moderation-service")
    parsed = download_command.make_context("download", words[2:]).params
    assert (parsed["size"], str(parsed["cache_dir"])) == ("8B", "/srv/models")
    assert "path=/models/huggingface/Qwen--Qwen3Guard-Gen-8B/main" in text_of(PAGES[0])
    assert CliRunner().invoke(download_command, ["--help"]).exit_code == 0


def test_every_preset_is_in_the_table_with_its_figures() -> None:
    text = text_of(PAGES[0])
    for preset in charts.CHART.glob("values-*.yaml"):
        row = re.search(rf"^\| `{re.escape(preset.name)}` \|(.*)$", text, re.MULTILINE)
        assert row is not None, preset.name
        values = charts.read_values(preset)
        if "vllm" in values:
            assert f"context {values['vllm']['maxModelLen']}" in row[1]
            assert values["vllm"]["model"]["name"].rpartition("-")[2] in row[1]
