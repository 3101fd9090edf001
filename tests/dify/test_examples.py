"""The example apps and their pictures: current, and without the mistakes that Dify's import does not find."""

from __future__ import annotations

from pathlib import Path

import check_dsl
import draw_graphs
import make_examples
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "examples" / "dify"
NAMES = sorted(make_examples.APPS)


def load(name):
    return yaml.safe_load((APPS / name).read_text("utf-8"))


def test_the_apps_are_what_the_script_writes():
    written = make_examples.texts(ROOT / "dify_plugin")
    assert sorted(path.name for path in APPS.glob("*.yml")) == NAMES
    for name, text in written.items():
        assert (APPS / name).read_text("utf-8") == text, "run: python tools/dify/make_examples.py"


def test_the_pictures_are_what_the_script_draws():
    drawn = draw_graphs.pictures()
    pictures = ROOT / "docs" / "images"
    assert sorted(path.name for path in pictures.glob("dify-*.svg")) == sorted(drawn)
    for name, text in drawn.items():
        assert (pictures / name).read_text("utf-8") == text, "run: python tools/dify/draw_graphs.py"


@pytest.mark.parametrize("name", NAMES)
def test_the_apps_have_none_of_the_mistakes_that_an_import_lets_through(name):
    assert check_dsl.check(load(name), [check_dsl.Plugin(ROOT / "dify_plugin")]) == []


GUARDED = "langgenius/openai_api_compatible/openai_api_compatible"


def models(dsl):
    """The providers of an app's models."""
    if "workflow" not in dsl:
        return {dsl["model_config"]["model"]["provider"]}
    nodes = [one["data"] for one in dsl["workflow"]["graph"]["nodes"]]
    return {data["model"]["provider"] for data in nodes if data["type"] == "llm"}


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_that_shows_a_models_text_is_behind_a_check_of_it(name):
    """Or the model itself is guarded."""
    dsl = load(name)
    if name.startswith("guarded_model_"):
        assert models(dsl) == {GUARDED}
        return
    assert GUARDED not in models(dsl)
    graph = dsl["workflow"]["graph"]
    sources = {}
    for one in graph["edges"]:
        sources.setdefault(one["target"], set()).add(one["source"])
    for one in graph["nodes"]:
        shows = "llm" in str(one["data"].get("answer") or one["data"].get("outputs")) or "draft" in str(one["data"])
        if one["data"]["type"] in ("answer", "end") and shows:
            assert sources[one["id"]] == {"output_ok"}
        if one["data"]["type"] == "iteration":
            assert one["data"]["output_selector"] == ["check_summary", "safe_text"]
    assert sources.get("output_ok", {"output_check"}) == {"output_check"}


def node(dsl, node_id):
    return next(item["data"] for item in dsl["workflow"]["graph"]["nodes"] if item["id"] == node_id)


def condition(dsl):
    return node(dsl, "prompt_ok")["cases"][0]["conditions"][0]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.update(version=0.6), "must be a string"),
        (lambda d: d.update(version="0.7.0"), "pending"),
        (lambda d: node(d, "prompt_check")["default_value"].append({"key": "allowed", "type": "boolean"}), "'boolean'"),
        (lambda d: node(d, "prompt_check")["default_value"].pop(2), "lacks action"),
        (lambda d: condition(d).update(variable_selector=["prompt_check", "verdict"]), "no output 'verdict'"),
        (lambda d: condition(d).update(variable_selector=["nobody", "action"]), "unknown node"),
        (lambda d: condition(d).update(variable_selector=["prompt_check", "allowed"], value="True"), "boolean"),
        (lambda d: condition(d).update(variable_selector=["prompt_check", "json"]), "`json`"),
        (lambda d: node(d, "refused").update(answer="{{#prompt_check.categories#}}"), "prints only string"),
        (lambda d: node(d, "prompt_check").update(tool_name="nope"), "no tool"),
        (lambda d: node(d, "prompt_check")["tool_parameters"].clear(), "is required"),
        (lambda d: d["workflow"]["graph"]["edges"].pop(), "nothing follows branch 'false'"),
    ],
)
def test_those_mistakes_are_found(change, complaint):
    dsl = load("guarded_chatflow.yml")
    change(dsl)
    problems = check_dsl.check(dsl, [check_dsl.Plugin(ROOT / "dify_plugin")])
    assert any(complaint in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.pop("model_config"), "has a model_config"),
        (lambda d: d["model_config"]["agent_mode"]["tools"][0].update(tool_name="nope"), "no tool"),
        (lambda d: d["model_config"]["agent_mode"]["tools"][0]["tool_parameters"].pop("query"), "prompt_check.query"),
    ],
)
def test_mistakes_of_an_app_without_a_graph_are_found(change, complaint):
    dsl = load("guarded_model_agent.yml")
    change(dsl)
    problems = check_dsl.check(dsl, [check_dsl.Plugin(ROOT / "dify_plugin")])
    assert any(complaint in problem for problem in problems), problems
