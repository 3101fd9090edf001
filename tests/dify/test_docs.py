"""The pages about Dify say what is: their samples are replayed, and both have the same ones."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from dify_events import RELAYED

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["dify.md", "dify.zh-CN.md"]


def page(name):
    return (ROOT / "docs" / name).read_text("utf-8")


def blocks(text):
    return re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)


def exchanges(text):
    """The requests of the page with their replies."""
    return re.findall(r'^(\{"point".*)\n-> (.*)$', text, re.MULTILINE)


def test_both_pages_have_the_same_samples_pictures_and_sections():
    english, chinese = (page(name) for name in PAGES)
    assert blocks(english) == blocks(chinese)
    # The Chinese page has the pictures with Chinese labels.
    chinese_pictures = re.findall(r"\]\((images/.*?)\.zh-CN\.svg\)", chinese)
    assert re.findall(r"\]\((images/.*?)\.svg\)", english) == chinese_pictures
    for pattern in (r"`([a-z_]+\.yml)`", r"^(#+) "):
        assert re.findall(pattern, english, re.MULTILINE) == re.findall(pattern, chinese, re.MULTILINE)
    # Every row of a table has its twin.
    assert len(re.findall(r"^\|", english, re.MULTILINE)) == len(re.findall(r"^\|", chinese, re.MULTILINE))


@pytest.mark.parametrize("name", PAGES)
def test_the_contract_is_answered_as_the_page_says(start, name):
    client = start()
    pairs = exchanges(page(name))
    assert len(pairs) == 3
    for asked, answered in pairs:
        reply = client.post("/dify/moderation", data=asked, content_type="application/json")
        assert reply.get_json() == json.loads(answered)


@pytest.mark.parametrize("name", PAGES)
def test_links_files_and_targets_exist(name):
    text = page(name)
    headings = [heading.lower() for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    anchors = {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("http"):
            assert (ROOT / "docs" / link).is_file(), link
    for path in re.findall(r"(?:tools|examples)/dify/\w+\.\w+", text):
        assert (ROOT / path).is_file(), path
    for file in re.findall(r"`(\w+\.yml)`", text):
        assert (ROOT / "examples" / "dify" / file).is_file(), file
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("name", PAGES)
def test_every_output_of_the_nodes_is_in_the_table(name):
    tool = yaml.safe_load((ROOT / "dify_plugin/tools/prompt_check.yaml").read_text("utf-8"))
    rows = re.findall(r"^\| `(\w+)` \| ", page(name), re.MULTILINE)
    assert rows == list(tool["output_schema"]["properties"])


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("tool", ["prompt_check", "output_check", "check_texts"])
def test_every_output_of_every_node_is_on_the_page(name, tool):
    declared = yaml.safe_load((ROOT / f"dify_plugin/tools/{tool}.yaml").read_text("utf-8"))
    for output in declared["output_schema"]["properties"]:
        assert f"`{output}`" in page(name), output
    language = "zh_Hans" if "zh" in name else "en_US"
    for parameter in declared["parameters"]:
        label = parameter["label"][language].removesuffix(" of the message")
        assert f"*{label}*" in page(name) or f"*{label} of the message*" in page(name), label


@pytest.mark.parametrize("name", PAGES)
def test_every_field_of_the_authorization_is_on_the_page(name):
    provider = yaml.safe_load((ROOT / "dify_plugin/provider/moderation_guard.yaml").read_text("utf-8"))
    language = "zh_Hans" if "zh" in name else "en_US"
    for field in provider["credentials_for_provider"].values():
        assert f"| {field['label'][language]} |" in page(name)


@pytest.mark.parametrize("name", PAGES)
def test_what_a_backend_may_relay_is_what_the_tests_relay(name):
    for event in RELAYED:
        assert f"`{event}`" in page(name)


@pytest.mark.parametrize("name", PAGES)
def test_the_figures_of_a_growing_answer_are_true(start, engine, name):
    client = start()
    text = "".join(f"sentence {number:05d}. " for number in range(900))
    ends = range(300, 12001, 300)
    for end in ends:
        body = {"point": "app.moderation.output", "params": {"text": text[:end]}}
        assert client.post("/dify/moderation", json=body).get_json()["flagged"] is False
    judged = sum(len(conversation.response) for conversation, _ in engine.asked)
    assert f"{judged:,}" in page(name)
    assert f"{sum(ends):,}" in page(name)


@pytest.mark.dify
def test_the_packaging_commands_work_as_written(dify_python, tmp_path):
    """As they stand in the page, but for the interpreter, and `make` replaced by what it runs."""
    plain, signed = tmp_path / "dist/moderation_guard.difypkg", tmp_path / "dist/moderation_guard.signed.difypkg"
    plain.parent.mkdir()
    commands = re.findall(r"^\$ \.venv/bin/python tools/dify/difypkg\.py (.*)$", page("dify.md"), re.MULTILINE)
    keygen, verify = commands
    for arguments in (
        ["validate", ROOT / "dify_plugin", "--marketplace"],
        ["pack", ROOT / "dify_plugin", plain],
        keygen.split(),
        ["sign", plain, "acme.private.pem", signed],
        verify.split(),
    ):
        command = [dify_python, str(ROOT / "tools/dify/difypkg.py"), *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
