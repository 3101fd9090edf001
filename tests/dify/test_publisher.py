"""Who publishes the plugin comes from one file, and nothing is signed while that is a placeholder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import publisher
import pytest
import yaml
from plugin_files import collect

ROOT = Path(__file__).resolve().parents[2]
REAL = {"author": "acme", "repo": "https://github.com/acme/guard", "contact": "guard@acme.org"}


@pytest.fixture
def plugin(tmp_path):
    """A copy of the plugin."""
    shutil.copytree(ROOT / "dify_plugin", tmp_path / "plugin", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "plugin"


def test_the_plugin_says_what_the_file_says():
    values = publisher.publisher()
    manifest = yaml.safe_load((ROOT / "dify_plugin/manifest.yaml").read_text("utf-8"))
    assert {name: manifest[name] for name in values} == values


def test_a_release_reaches_every_file_of_the_plugin(plugin):
    shipped = publisher.publisher()
    changed = {path.relative_to(plugin).as_posix() for path in publisher.write(REAL, plugin)}
    assert {"manifest.yaml", "README.md", "readme/README_zh_Hans.md", "provider/moderation_guard.yaml"} <= changed
    for name, content in collect(plugin).items():
        text = content.decode()
        assert shipped["repo"] not in text, name
        assert shipped["contact"] not in text, name
        for line in (line.strip() for line in text.splitlines() if "author:" in line):
            assert line == "author: acme", name
    assert publisher.problems(REAL, plugin) == []
    assert publisher.write(REAL, plugin) == []


def test_placeholders_and_a_plugin_that_says_something_else_are_named(plugin):
    shipped = publisher.publisher()
    assert [problem.split()[0] for problem in publisher.problems(shipped, plugin)] == ["repo", "contact"]
    assert [problem.split()[0] for problem in publisher.problems(REAL, plugin)] == ["author", "repo", "contact"]


@pytest.mark.parametrize(
    "change", [{"author": "Acme"}, {"author": ""}, {"repo": "github.com/acme"}, {"contact": "acme"}, {"contact": None}]
)
def test_a_value_of_a_wrong_shape_is_named(tmp_path, change):
    path = tmp_path / "publisher.yaml"
    path.write_text(yaml.safe_dump({**REAL, **change}))
    with pytest.raises(SystemExit, match=next(iter(change))):
        publisher.publisher(path)


@pytest.mark.skipif(
    shutil.which("make") is None or not (ROOT / ".venv/.installed").exists(), reason="make would first have to install"
)
def test_make_refuses_to_sign_while_they_are_placeholders():
    env = {**os.environ, "MAKEFLAGS": ""}
    command = ["make", "--no-print-directory", "dify-package", "KEY=no-such-key.private.pem"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "not signed: contact is still the placeholder" in done.stderr
    assert "no-such-key" not in done.stderr
