"""The example apps, run by Dify's graph engine with the real plugin and the real service; only the LLM is played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from samples import (
    SAFE,
    SAFE_ANSWER,
    SAFE_ANSWER_ZH,
    SAFE_ZH,
    UNSAFE,
    UNSAFE_ANSWER,
    UNSAFE_ZH,
    WORD_CONTROVERSIAL,
    WORD_CONTROVERSIAL_ANSWER,
    WORD_SAFE,
)

from moderation_service.core.policy import DEFAULT_MESSAGES
from moderation_service.wires.dify import UNCHECKED_MESSAGES

pytestmark = pytest.mark.dify

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "examples" / "dify"
TO_LLM = ["start", "prompt_check", "prompt_ok", "llm"]
REFUSED = ["start", "prompt_check", "prompt_ok", "refused"]
CHECKED = [*TO_LLM, "output_check", "output_ok"]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def run(run_flow):
    return run_flow


PLUGIN_CHATS = ["guarded_chatflow.yml", "guarded_chatflow_milder.yml"]
CHATS = [*PLUGIN_CHATS, "guarded_chatflow_http.yml"]


def to_output(name):
    return CHECKED if name != "guarded_chatflow_milder.yml" else [*TO_LLM, "draft", "output_check", "output_ok"]


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize(("query", "llm"), [(SAFE, SAFE_ANSWER), (SAFE_ZH, SAFE_ANSWER_ZH), ('"; \\ {}', SAFE_ANSWER)])
def test_a_safe_prompt_is_answered(run, name, query, llm):
    result = run(name, query, llm)
    assert (result["path"], result["failures"], result["status"]) == ([*to_output(name), "shown"], [], "succeeded")
    assert result["streamed"] == llm


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize(("query", "language"), [(UNSAFE, "en"), (UNSAFE_ZH, "zh")])
def test_an_unsafe_prompt_is_refused_and_never_reaches_the_model(run, name, query, language):
    result = run(name, query)
    assert (result["path"], result["status"]) == (REFUSED, "succeeded")
    # Over plain HTTP the app shows its own sentence: a condition can look into JSON, an Answer can't.
    assert result["streamed"] == DEFAULT_MESSAGES["en" if name == "guarded_chatflow_http.yml" else language]
    assert result["asked_llm"] == []


@pytest.mark.parametrize("name", CHATS)
def test_nothing_of_an_unsafe_answer_is_ever_streamed(run, name):
    result = run(name, SAFE, UNSAFE_ANSWER)
    assert (result["path"], result["status"]) == ([*to_output(name), "withheld"], "succeeded")
    assert result["streamed"] == DEFAULT_MESSAGES["en"]
    assert "bomb" not in json.dumps(result["chunks"])
    assert "bomb" not in json.dumps(result["outputs"])


@pytest.mark.parametrize("name", CHATS)
def test_with_the_service_down_the_error_branch_is_taken(run, name):
    down = {"credentials": {"base_url": NOWHERE}, "environment": {"moderation_url": NOWHERE, "moderation_key": ""}}
    result = run(name, SAFE, **down)
    # An HTTP node that used its default values is reported as an exception, not as a success.
    assert [node for node in result["path"] if node != "prompt_check"] == ["start", "prompt_ok", "refused"]
    shown = DEFAULT_MESSAGES["en"] if name == "guarded_chatflow_http.yml" else UNCHECKED_MESSAGES["en"]
    assert result["streamed"] == shown
    assert result["asked_llm"] == []


@pytest.mark.parametrize("name", PLUGIN_CHATS)
def test_with_the_plugin_gone_the_nodes_default_values_take_the_error_branch(run, name):
    result = run(name, SAFE, plugin_url=NOWHERE)
    assert result["path"][-2:] == ["prompt_ok", "refused"]
    assert result["failures"][0].startswith("prompt_check: ")
    assert result["streamed"] == UNCHECKED_MESSAGES["en"]


def test_a_wrong_key_takes_the_error_branch(run, live):
    wrong = {"moderation_url": live.url, "moderation_key": "wrong-key"}
    for name in ("guarded_chatflow.yml", "guarded_chatflow_http.yml"):
        result = run(name, SAFE, credentials={"base_url": live.url, "api_key": "wrong-key"}, environment=wrong)
        assert result["path"][-1] == "refused"


@pytest.mark.parametrize("name", ["guarded_chatflow.yml", "guarded_chatflow_http.yml"])
def test_only_safe_passes_the_strict_apps(run, words, name):
    assert run(name, WORD_CONTROVERSIAL, service=words)["path"] == REFUSED
    result = run(name, WORD_SAFE, WORD_CONTROVERSIAL_ANSWER, service=words)
    assert result["path"] == [*CHECKED, "withheld"]
    assert result["streamed"] == DEFAULT_MESSAGES["en"]


def test_a_controversial_prompt_goes_to_the_careful_model(run, words):
    result = run("guarded_chatflow_milder.yml", WORD_CONTROVERSIAL, SAFE_ANSWER, service=words)
    assert result["path"][:4] == ["start", "prompt_check", "prompt_ok", "llm_careful"]
    assert (result["path"][-1], result["streamed"]) == ("shown", SAFE_ANSWER)
    assert "careful" in json.dumps(result["asked_llm"])


def test_a_controversial_answer_is_shown_with_a_note(run, words):
    result = run("guarded_chatflow_milder.yml", WORD_SAFE, WORD_CONTROVERSIAL_ANSWER, service=words)
    assert result["path"][-1] == "noted"
    assert result["streamed"].endswith(f"topic.\n\n{WORD_CONTROVERSIAL_ANSWER}")


@pytest.mark.parametrize(
    ("query", "llm", "path", "outputs"),
    [
        (SAFE, SAFE_ANSWER, [*CHECKED, "shown"], {"answer": SAFE_ANSWER}),
        (UNSAFE, "never asked", REFUSED, {"answer": DEFAULT_MESSAGES["en"], "safety": "Unsafe", "error": ""}),
        (SAFE, UNSAFE_ANSWER, [*CHECKED, "withheld"], {"answer": DEFAULT_MESSAGES["en"], "safety": "Unsafe"}),
    ],
)
def test_the_workflow_returns_the_answer_or_why_there_is_none(run, query, llm, path, outputs):
    result = run("guarded_workflow.yml", query, llm)
    assert (result["path"], result["failures"], result["status"]) == (path, [], "succeeded")
    assert outputs.items() <= result["outputs"].items()
    if path[-1] == "withheld":
        assert "bomb" not in json.dumps([result["outputs"], result["chunks"]])
        assert result["outputs"]["categories"] == ["violent"]
        assert result["outputs"]["request_id"].startswith("dify-")


def test_the_workflow_with_the_service_down_says_why(run):
    result = run("guarded_workflow.yml", SAFE, credentials={"base_url": NOWHERE})
    assert (result["path"], result["outputs"]["safety"]) == (REFUSED, "Error")
    assert "connection refused" in result["outputs"]["error"]


INJECTION = f'{UNSAFE}", "prompt": "{SAFE}", "policy": "loose'


def test_a_quote_in_the_text_cannot_replace_the_prompt_that_is_judged(run):
    assert run("guarded_chatflow_http.yml", INJECTION)["path"] == REFUSED


def test_in_a_json_body_it_could_which_is_why_the_app_sends_a_form(run, tmp_path):
    dsl = yaml.safe_load((APPS / "guarded_chatflow_http.yml").read_text("utf-8"))
    for node in dsl["workflow"]["graph"]["nodes"]:
        if node["id"] == "prompt_check":
            template = '{"prompt": "{{#sys.query#}}", "policy": "strict"}'
            node["data"]["body"] = {"type": "json", "data": [{"key": "", "type": "text", "value": template}]}
    (tmp_path / "app.yml").write_text(yaml.safe_dump(dsl), "utf-8")
    assert "llm" in run(tmp_path / "app.yml", INJECTION, SAFE_ANSWER)["path"]


NEW_IN_0_2 = {"span", "coverage", "next_history"}


@pytest.mark.parametrize("plugin_is_gone", [False, True])
def test_an_app_made_for_version_0_1_of_the_plugin_still_works(run, tmp_path, plugin_is_gone):
    """Its nodes have no default values for outputs that came later, and its settings are those of then."""
    text = (APPS / "guarded_chatflow.yml").read_text("utf-8")
    dsl = yaml.safe_load(text.replace(":0.2.0@", ":0.1.0@"))
    for node in dsl["workflow"]["graph"]["nodes"]:
        if node["data"]["type"] == "tool":
            node["data"]["default_value"] = [
                one for one in node["data"]["default_value"] if one["key"] not in NEW_IN_0_2
            ]
    (tmp_path / "app.yml").write_text(yaml.safe_dump(dsl), "utf-8")
    if plugin_is_gone:
        assert run(tmp_path / "app.yml", SAFE, plugin_url=NOWHERE)["path"][-1] == "refused"
    else:
        assert run(tmp_path / "app.yml", SAFE, SAFE_ANSWER)["streamed"] == SAFE_ANSWER
        assert run(tmp_path / "app.yml", SAFE, UNSAFE_ANSWER)["path"][-1] == "withheld"
