"""The example apps around more than one text, in Dify's graph engine: history, knowledge base, documents."""

from __future__ import annotations

import json

import pytest
from samples import SAFE, SAFE_ANSWER, UNSAFE, UNSAFE_ANSWER

from moderation_service.core.policy import DEFAULT_MESSAGES

pytestmark = pytest.mark.dify

NOWHERE = {"base_url": "http://127.0.0.1:1"}
TURN = [{"role": "user", "content": SAFE}, {"role": "assistant", "content": SAFE_ANSWER}]
CHUNKS = [
    {"title": "bread.md", "content": SAFE_ANSWER, "metadata": {"_source": "knowledge", "document_name": "bread.md"}},
    {"title": "harm.md", "content": UNSAFE_ANSWER, "metadata": {"_source": "knowledge"}},
]


def test_the_history_is_kept_without_a_code_node_and_read_the_next_time(run_flow):
    first = run_flow("guarded_chatflow_history.yml", SAFE, SAFE_ANSWER)
    assert first["path"][-3:] == ["output_ok", "shown", "remember"]
    kept = first["conversation"]["history"]
    assert json.loads(kept) == TURN
    second = run_flow("guarded_chatflow_history.yml", "And with rye?", SAFE_ANSWER, conversation={"history": kept})
    assert (second["path"][-1], second["failures"]) == ("remember", [])
    assert json.loads(second["conversation"]["history"])[:2] == TURN
    asked = next(
        one for one in second["events"] if one.get("node_id") == "prompt_check" and "Succeeded" in one["event"]
    )
    assert asked["node_run_result"]["inputs"]["history"] == kept


def test_what_was_withheld_is_not_remembered(run_flow):
    result = run_flow("guarded_chatflow_history.yml", SAFE, UNSAFE_ANSWER, conversation={"history": json.dumps(TURN)})
    assert result["path"][-1] == "withheld"
    assert result["conversation"] == {}
    assert run_flow("guarded_chatflow_history.yml", UNSAFE)["path"][-1] == "refused"


@pytest.mark.parametrize("history", ["null", "", "[]", str(TURN), f"Human: {SAFE}\nAssistant: {SAFE_ANSWER}"])
def test_a_history_of_another_making_does_not_stop_the_chat(run_flow, history):
    result = run_flow("guarded_chatflow_history.yml", SAFE, SAFE_ANSWER, conversation={"history": history})
    assert result["path"][-1] == "remember"


def test_only_safe_chunks_reach_the_model(run_flow):
    result = run_flow("guarded_knowledge.yml", SAFE, SAFE_ANSWER, given={"knowledge.result": CHUNKS})
    assert (result["path"][-1], result["streamed"], result["failures"]) == ("shown", SAFE_ANSWER, [])
    [prompt] = result["asked_llm"]
    assert SAFE_ANSWER in json.dumps(prompt)
    assert "poison" not in json.dumps(prompt)


@pytest.mark.parametrize("change", [{"credentials": NOWHERE}, {"plugin_url": "http://127.0.0.1:1"}])
def test_without_a_check_no_chunk_reaches_the_model(run_flow, change):
    result = run_flow("guarded_knowledge.yml", SAFE, SAFE_ANSWER, given={"knowledge.result": CHUNKS}, **change)
    assert result["path"][-1] == "refused"
    assert result["asked_llm"] == []


def test_a_withheld_answer_about_the_knowledge_is_not_shown(run_flow):
    result = run_flow("guarded_knowledge.yml", SAFE, UNSAFE_ANSWER, given={"knowledge.result": CHUNKS[:1]})
    assert (result["path"][-1], result["streamed"]) == ("withheld", DEFAULT_MESSAGES["en"])


def test_documents_are_checked_together_and_summarized_one_by_one(run_flow):
    documents = [SAFE_ANSWER, UNSAFE_ANSWER, "Rye bread keeps for a week."]
    result = run_flow("guarded_documents.yml", "-", "It is about bread.", given={"extract.text": documents})
    assert (result["failures"], result["status"]) == ([], "succeeded")
    outputs = result["outputs"]
    assert outputs["summaries"] == ["It is about bread."] * 2
    assert outputs["withheld"] == [2]
    assert outputs["reasons"].startswith("2: Unsafe (")
    assert len(result["asked_llm"]) == 2
    assert "poison" not in json.dumps(result["asked_llm"])


def test_an_unsafe_summary_is_replaced_by_the_message(run_flow):
    result = run_flow("guarded_documents.yml", "-", UNSAFE_ANSWER, given={"extract.text": [SAFE_ANSWER]})
    assert result["outputs"]["summaries"] == [DEFAULT_MESSAGES["en"]]


def test_with_the_service_down_no_document_is_read_and_the_error_comes_out(run_flow):
    down = {"credentials": NOWHERE, "given": {"extract.text": [SAFE_ANSWER]}}
    result = run_flow("guarded_documents.yml", "-", "never asked", **down)
    assert result["outputs"]["summaries"] == []
    assert "connection refused" in result["outputs"]["error"]
    assert result["asked_llm"] == []
