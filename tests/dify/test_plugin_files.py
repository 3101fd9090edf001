"""What can be said of the plugin's files without running them."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import plugin_checks
import pytest
import yaml
from plugin_files import collect, excluded

from moderation_service.core.policy import DEFAULT_MESSAGES
from moderation_service.core.verdict import Severity
from moderation_service.wires.dify import UNCHECKED_MESSAGES

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "dify_plugin"
LANGUAGES = {"en_US", "zh_Hans", "ja_JP", "pt_BR"}
TRANSLATED = {"label", "description", "human_description", "human", "help", "placeholder"}
TOOLS = ("prompt_check", "output_check")


def read(path):
    return yaml.safe_load((PLUGIN / path).read_text("utf-8"))


def load(name):
    """A module of the plugin that needs neither the SDK nor httpx, without its folder on sys.path."""
    spec = importlib.util.spec_from_file_location(name, PLUGIN / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def translated(value, where):
    """(place, texts by language) of everything that people read."""
    if isinstance(value, dict):
        for key, item in value.items():
            here = f"{where}.{key}"
            if key in TRANSLATED and isinstance(item, dict) and "human" not in item:
                yield here, item
            else:
                yield from translated(item, here)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from translated(item, f"{where}[{number}]")


@pytest.mark.parametrize("path", sorted(path.relative_to(PLUGIN).as_posix() for path in PLUGIN.rglob("*.yaml")))
def test_everything_people_read_is_there_in_four_languages(path):
    document = read(path)
    document.get("output_schema", {}).clear()  # JSON Schema: its descriptions have one language
    texts = dict(translated(document, path))
    assert texts
    for place, by_language in texts.items():
        assert set(by_language) == LANGUAGES, place
        assert all(isinstance(text, str) and text.strip() for text in by_language.values()), place
        assert "你" not in by_language["ja_JP"], place


def test_both_tools_have_the_same_settings_and_outputs():
    prompt_check, output_check = (read(f"tools/{tool}.yaml") for tool in TOOLS)
    settings = [[one for one in tool["parameters"] if one["form"] == "form"] for tool in (prompt_check, output_check)]
    assert settings[0] == settings[1]
    assert list(prompt_check["output_schema"]["properties"]) == list(output_check["output_schema"]["properties"])
    of_many = [one for one in read("tools/check_texts.yaml")["parameters"] if one["form"] == "form"]
    assert of_many[-len(settings[0]) :] == settings[0]


def test_every_output_and_credential_is_documented_in_both_readmes():
    outputs = read("tools/prompt_check.yaml")["output_schema"]["properties"]
    for readme in ("README.md", "readme/README_zh_Hans.md"):
        text = (PLUGIN / readme).read_text("utf-8")
        assert all(f"`{name}`" in text for name in outputs), readme
    labels = read("provider/moderation_guard.yaml")["credentials_for_provider"].values()
    assert all(f"| {one['label']['en_US'].split(' (')[0]} |" in (PLUGIN / "README.md").read_text() for one in labels)
    chinese = (PLUGIN / "readme/README_zh_Hans.md").read_text("utf-8")
    assert all(f"| {one['label']['zh_Hans'].split('（')[0]} |" in chinese for one in labels)


def test_the_plugins_texts_are_the_services():
    texts = load("guard_texts")
    assert dict(DEFAULT_MESSAGES) == texts.BLOCKED
    assert dict(UNCHECKED_MESSAGES) == texts.UNCHECKED
    assert all(set(by_language) == set(texts.BLOCKED) for by_language in (texts.NOTHING, *texts.BY_PROBLEM.values()))
    offered = [one["value"] for one in next(p for p in read("tools/prompt_check.yaml")["parameters"]
                                            if p["name"] == "language")["options"]]  # fmt: skip
    assert offered == ["auto", *texts.BLOCKED]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I bake bread?", ""),
        ("怎样做面包？", "zh"),
        ("パンの作り方を教えて", "ja"),
        ("빵을 어떻게 굽나요", "ko"),
        ("请解释 transformer 的 attention 机制", "zh"),
        ("What does the character 爱 mean in Chinese writing?", ""),
        ("12345 !?", ""),
    ],
)
def test_the_language_is_guessed_from_the_script(text, language):
    assert load("guard_texts").language_of(text) == language


def test_the_plugin_knows_every_severity():
    labels = re.search(r"^SAFETY = (\{.*\})$", (PLUGIN / "guard_outputs.py").read_text("utf-8"), re.MULTILINE)
    assert labels is not None
    assert set(yaml.safe_load(labels.group(1))) == {severity.value for severity in Severity}


def test_all_checks_of_daemon_and_marketplace_pass():
    found = plugin_checks.validate(collect(PLUGIN))
    assert (found.errors, found.warnings) == ([], [])


def test_no_file_shadows_the_sdk():
    assert not list(PLUGIN.rglob("__init__.py"))
    assert not list(PLUGIN.rglob("conftest.py"))


@pytest.fixture
def copy(tmp_path):
    """A copy of the plugin to break."""
    return Path(shutil.copytree(PLUGIN, tmp_path / "plugin"))


@pytest.mark.parametrize(
    ("file", "change", "complaint"),
    [
        ("manifest.yaml", lambda d: d.update(author="Example"), "author"),
        ("manifest.yaml", lambda d: d.update(version="1.0"), "version"),
        ("manifest.yaml", lambda d: d.update(icon="_assets/icon.svg"), "icon"),
        ("manifest.yaml", lambda d: d.update(created_at=yaml.safe_load("2026-11-01T00:00:00Z")), "created_at"),
        ("manifest.yaml", lambda d: d.update(tags=["security"]), "tags"),
        ("manifest.yaml", lambda d: d["resource"].update(permission={"storage": {"enabled": False}}), "storage"),
        ("manifest.yaml", lambda d: d["meta"]["runner"].update(version=3.12), "runner.version"),
        ("manifest.yaml", lambda d: d["plugins"]["tools"].append("x.yaml"), "only one tool provider"),
        ("tools/prompt_check.yaml", lambda d: d["output_schema"]["properties"].update(text={}), "reserved"),
        ("tools/prompt_check.yaml", lambda d: d["parameters"][0].pop("human_description"), "human_description"),
        ("tools/prompt_check.yaml", lambda d: d["parameters"][4].update(default="nope"), "default is not among"),
    ],
)
def test_the_traps_of_the_formats_are_found(copy, file, change, complaint):
    document = yaml.safe_load((copy / file).read_text("utf-8"))
    change(document)
    (copy / file).write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    errors = plugin_checks.validate(collect(copy)).errors
    assert any(complaint in error for error in errors), errors


@pytest.mark.parametrize("name", ["tools/__init__.py", "signing.private.pem", ".env"])
def test_what_must_never_be_packaged_is_an_error(copy, name):
    (copy / ".difyignore").write_text("")
    (copy / name).touch()
    assert any(name in error for error in plugin_checks.validate(collect(copy)).errors)


@pytest.mark.parametrize(
    ("pattern", "path", "is_dir", "out"),
    [
        ("*.pyc", "a/b.pyc", False, True),
        ("build/", "build", True, True),
        ("build/", "build", False, False),
        ("build/", "build/x.py", False, True),
        ("/tools", "tools/a.py", False, True),
        ("/tools", "x/tools/a.py", False, False),
        ("a/**/c.py", "a/b/b/c.py", False, True),
        ("!keep.pyc", "keep.pyc", False, False),
    ],
)
def test_ignore_patterns_work_as_in_the_packager(pattern, path, is_dir, out):
    assert excluded(pattern, tuple(path.split("/")), is_dir) is out
