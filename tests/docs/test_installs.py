"""Nothing tells anybody to install this package by its bare name: it is on no index, a namesake would not be ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from moderation_service.config.extras import install_command

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "docs",
    "manifests",
    "examples",
    "moderation_service",
    "dify_plugin",
    "vllm_plugins",
    "tools",
    "training",
    ".ci",
)
SUFFIXES = {
    ".md",
    ".py",
    ".sh",
    ".txt",
    ".toml",
    ".yaml",
    ".yml",
    ".lock",
    ".tpl",
    ".service",
    ".env",
    ".json",
    ".html",
    "",
}
INSTALLERS = r"\b(?:pip[x3]?|uvx?|poetry|pdm|conda|easy_install)\b"
NAME = r"(?<![\w./@:-])moderation[-_]service(?![\w./@-])"
# A line of a command, or of a requirements file. A path, a wheel or an address may hold the name, the bare name not.
BARE = re.compile(
    rf"{INSTALLERS}[^\n]*(?:\binstall\b|\badd\b|\brun\b|uvx)[^\n]*?{NAME}|\buvx\s+{NAME}"
    rf"|^{NAME}(?:\[[\w, ]+\]|\s*[=~<>!]=)",
    re.MULTILINE,
)


def files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.suffix in SUFFIXES and path.is_file())
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in SUFFIXES and "assets" not in path.parts:
                yield path


def test_no_file_installs_it_by_its_bare_name() -> None:
    found = []
    for path in files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0].strip()}" for match in BARE.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "pip install moderation-service",
        "/opt/x/bin/pip install --upgrade 'moderation-service[vllm]'",
        "python3 -m pip install moderation_service==0.5.0",
        "pipx install moderation-service",
        "uv tool install moderation-service",
        "uv pip install moderation-service",
        "uvx moderation-service serve",
        "moderation-service>=0.5",
        "moderation-service[stream]",
    ],
)
def test_it_would_be_found(line: str) -> None:
    assert BARE.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install '.[vllm]'",
        "pip install ./moderation_service-0.5.0-py3-none-any.whl",
        "pip install 'dist/moderation_service-0.5.0-py3-none-any.whl[vllm]'",
        "pip install git+https://example.com/moderation-service.git",
        "moderation-service up --size 4B",
        "helm install moderation manifests/helm/moderation-service",
    ],
)
def test_what_is_right_is_not(line: str) -> None:
    assert BARE.search(line) is None


@pytest.mark.parametrize("extra", ["mcp", "otel", "stream", "vllm"])
def test_messages_name_what_is_missing_itself(extra: str) -> None:
    command = install_command(extra)
    assert re.fullmatch(r"pip install( '[\w-]+[<>=~!][^']*')+", command)
    assert BARE.search(command) is None
