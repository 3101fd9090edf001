"""Clients made by generators from the OpenAPI document, in Python, TypeScript and Go; and what a linter says of it."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from moderation_service.web.pages import openapi_document

from ..conftest import FOLDER, KEY

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
MODULES = FOLDER / "node_modules"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="the generator needs Java")
BLOCKED = ["block", False, ["violent"], 0.95, "Sorry, I can't help with that."]
ALLOWED = ["allow", True, [], 0.02, None]
MANY = ["flag", "invalid_request"]
UNKNOWN = [400, "invalid_request", "policy"]


def run(command: Sequence[str | Path], *, folder: Path, **env: str) -> str:
    """What a command prints. Fails with all of it if the command does."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(openapi_document()), encoding="utf-8")
    return path


@pytest.fixture
def client(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the package that openapi-python-client makes; nothing of the document is left out."""
    printed = run(
        [FOLDER / "bin/openapi-python-client", "generate", "--path", document, "--output-path", "generated_client",
         "--meta", "none"],
        folder=tmp_path,
        PATH=f"{FOLDER / 'bin'}:{os.environ['PATH']}",
    )  # fmt: skip
    assert "WARNING" not in printed.upper(), printed
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "generated_client"
    for name in [name for name in sys.modules if name.split(".")[0] == "generated_client"]:
        del sys.modules[name]


@needs_node
def test_a_linter_finds_nothing_in_the_document(document: Path, tmp_path: Path) -> None:
    printed = run(
        ["node", MODULES / "@redocly/cli/bin/cli.js", "lint", document, "--config", HERE / "redocly.yaml",
         "--format", "json"],
        folder=tmp_path,
        REDOCLY_TELEMETRY="off",
        REDOCLY_SUPPRESS_UPDATE_NOTICE="true",
    )  # fmt: skip
    assert json.loads(printed)["problems"] == []


def test_a_generated_python_client_reads_decisions_and_errors(client: str, serve: Callable[..., str]) -> None:
    models = importlib.import_module(f"{client}.models")
    moderate = importlib.import_module(f"{client}.api.moderation.moderate")
    session = importlib.import_module(f"{client}.client").AuthenticatedClient(base_url=serve(), token=KEY)

    def judge(**fields: Any) -> Any:
        return moderate.sync_detailed(client=session, body=models.ModerateRequest(**fields)).parsed

    blocked = judge(prompt="how to make a bomb")
    assert [blocked.action, blocked.allowed, blocked.categories, blocked.scores.unsafe, blocked.message] == BLOCKED
    harmless = judge(prompt="How do I bake bread?", response=None, policy=None, detail=None)
    assert (harmless.allowed, harmless.message, harmless.span) == (True, None, None)
    good, bad = judge(inputs=[models.Check(prompt="an insult"), models.Check(prompt=" ")]).results
    assert [good.action, bad.error.type_, bad.error.param] == [*MANY, "inputs[1].prompt"]
    unknown = moderate.sync_detailed(client=session, body=models.ModerateRequest(prompt="Hello", policy="nonsense"))
    assert [unknown.status_code, unknown.parsed.error.type_, unknown.parsed.error.param] == UNKNOWN


def test_a_generated_client_takes_what_later_versions_add(client: str, serve: Callable[..., str]) -> None:
    models = importlib.import_module(f"{client}.models")
    moderate = importlib.import_module(f"{client}.api.moderation.moderate")
    session = importlib.import_module(f"{client}.client").AuthenticatedClient(base_url=serve(), token=KEY)
    document = moderate.sync(client=session, body=models.ModerateRequest(prompt="Hello")).to_dict()
    later = models.Decision.from_dict({**document, "engine": "a later one", "another_field": {"x": 1}})
    assert (later.engine, later["another_field"]) == ("a later one", {"x": 1})
    error = {"type": "a_later_one", "message": "So.", "param": None, "hint": "Wait."}
    assert models.ErrorReply.from_dict({"error": error}).error.type_ == "a_later_one"


@needs_node
def test_generated_types_hold_in_typescript(document: Path, tmp_path: Path, serve: Callable[..., str]) -> None:
    (tmp_path / "node_modules").symlink_to(MODULES.resolve())
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    shutil.copy(HERE / "client.ts", tmp_path)
    run(["node", MODULES / "openapi-typescript/bin/cli.js", document, "-o", "schema.d.ts"], folder=tmp_path)
    run(
        ["node", MODULES / "typescript/bin/tsc", "--strict", "--module", "nodenext", "--target", "es2022",
         "--types", "node", "--skipLibCheck", "client.ts"],
        folder=tmp_path,
    )  # fmt: skip
    printed = json.loads(run(["node", "client.js", serve(), KEY], folder=tmp_path))
    assert printed == [BLOCKED, ALLOWED, MANY, ALLOWED, UNKNOWN]


@needs_java
def test_a_generated_go_client_compiles_and_asks(document: Path, tmp_path: Path, serve: Callable[..., str]) -> None:
    run(
        [FOLDER / "bin/openapi-generator-cli", "generate", "-i", document, "-g", "go", "-o", "client",
         "--additional-properties", "packageName=moderation,enumClassPrefix=true", "--global-property",
         "apis=Moderation,models,supportingFiles,apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"],
        folder=tmp_path,
    )  # fmt: skip
    # The one library that it wants checks annotations, of which there are none here; Go's proxy may be out of reach.
    module = "module moderation.test/client\n\ngo 1.23\n\nrequire gopkg.in/validator.v2 v2.0.1\n"
    (tmp_path / "client/go.mod").write_text(module, encoding="utf-8")
    (tmp_path / "client/go.sum").unlink(missing_ok=True)
    (tmp_path / "validator").mkdir()
    (tmp_path / "validator/go.mod").write_text("module gopkg.in/validator.v2\n\ngo 1.23\n", encoding="utf-8")
    code = "package validator\n\nfunc Validate(any) error { return nil }\n"
    (tmp_path / "validator/validator.go").write_text(code, encoding="utf-8")
    shutil.copy(HERE / "client.go", tmp_path / "main.go")
    (tmp_path / "go.mod").write_text(
        "module moderation.test/program\n\ngo 1.23\n\n"
        "require (\n\tmoderation.test/client v0.0.0\n\tgopkg.in/validator.v2 v2.0.1\n)\n\n"
        "replace moderation.test/client => ./client\n\nreplace gopkg.in/validator.v2 => ./validator\n",
        encoding="utf-8",
    )
    caches = {"GOCACHE": str((FOLDER / "go-cache").resolve()), "GOPATH": str(tmp_path / "go"), "GOPROXY": "off"}
    printed = run([FOLDER / "bin/go", "run", ".", serve(), KEY], folder=tmp_path, GOFLAGS="-mod=mod", **caches)
    assert json.loads(printed) == [BLOCKED, ALLOWED, MANY, UNKNOWN]
