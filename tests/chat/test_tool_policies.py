"""Rules for tools on every guarded door: what a model tells a tool, and what the tool gives back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from apps import make_client
from fake_llm import FakeLLM, Request, http
from fakes import FakeEngine

from moderation_service.config.setting import Url

POLICIES = """
policies:
  balanced:
    description: Strict with mail, closed to one tool.
    extends: balanced
    tools:
      "mail_*": {actions: {controversial: block}}
      drop_table: {call: {actions: {safe: block}}}
      "fetch*": {result: {actions: {controversial: block}}}
"""
SORRY = "Sorry, I can't help with that."


def chat(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def response(name: str, arguments: str) -> dict[str, Any]:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": name, "arguments": arguments}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": [{**call, "status": "completed"}],
    }


def message(name: str, arguments: str) -> dict[str, Any]:
    block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": json.loads(arguments)}
    usage = {"input_tokens": 1, "output_tokens": 1}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use"}
    return {**head, "content": [block], "stop_sequence": None, "usage": usage}


def tools(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "name": one, "input_schema": {}, "parameters": {}} for one in names]


NAMES = ("mail_send", "drop_table", "fetch_page", "add")
DOORS: dict[str, tuple[str, Callable[[str, str], dict[str, Any]], dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        chat,
        {"messages": [], "tools": [{"type": "function", "function": one} for one in tools(*NAMES)]},
    ),
    "responses": ("/v1/responses", response, {"input": [], "tools": tools(*NAMES)}),
    "messages": (
        "/v1/messages",
        message,
        {"messages": [], "max_tokens": 9, "tools": [{"name": one, "input_schema": {}} for one in NAMES]},
    ),
}


def history(door: str, name: str, result: str) -> list[dict[str, Any]]:
    """A question, the call of a tool, and its result."""
    asked = {"role": "user", "content": "do it"}
    if door == "responses":
        call = {"type": "function_call", "call_id": "c1", "name": name, "arguments": "{}"}
        return [asked, call, {"type": "function_call_output", "call_id": "c1", "output": result}]
    if door == "messages":
        use = {"type": "tool_use", "id": "c1", "name": name, "input": {}}
        back = {"type": "tool_result", "tool_use_id": "c1", "content": result}
        return [asked, {"role": "assistant", "content": [use]}, {"role": "user", "content": [back]}]
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [asked, called, {"role": "tool", "tool_call_id": "c1", "content": result}]


class Door:
    """One guarded door in front of a model that answers with one document."""

    def __init__(self, name: str, llm: FakeLLM, file: Path) -> None:
        self.name, self.llm, self.engine = name, llm, FakeEngine()
        self._path, self._reply, self._body = DOORS[name]
        self._client = make_client(
            engine=self.engine,
            chat_upstream=Url(llm.url),
            policies_file=file,
            log_level="error",
            chat_prompt_first=True,
        )

    def ask(self, messages: list[dict[str, Any]], *, tool: str = "add", arguments: str = '{"a": "b"}') -> str:
        document = self._reply(tool, arguments)

        def behave(request: Request) -> Iterable[bytes]:
            return [http(200, document)]

        self.llm.behave = behave
        field = "input" if "input" in self._body else "messages"
        reply = self._client.post(self._path, json={"model": "m", **self._body, field: messages})
        assert reply.status_code == 200, reply.get_data(as_text=True)
        text: str = reply.get_data(as_text=True)
        return text


@pytest.fixture
def door(request: pytest.FixtureRequest, llm: FakeLLM, tmp_path: Path) -> Door:
    file = tmp_path / "policies.yaml"
    file.write_text(POLICIES)
    return Door(request.param, llm, file)


every_door = pytest.mark.parametrize("door", DOORS, indirect=True)
ASKED = [{"role": "user", "content": "do it"}]


@every_door
def test_a_call_is_judged_by_the_rules_of_its_tool(door: Door) -> None:
    assert "an insult" in door.ask(ASKED, tool="add", arguments='{"text": "an insult"}')
    mailed = door.ask(ASKED, tool="mail_send", arguments='{"text": "an insult"}')
    assert "an insult" not in mailed
    assert SORRY in mailed


@every_door
def test_a_tool_may_be_closed_even_to_calls_without_arguments(door: Door) -> None:
    for arguments in ("{}", '{"a": "b"}'):
        assert SORRY in door.ask(ASKED, tool="drop_table", arguments=arguments)
    assert "mail_send" in door.ask(ASKED, tool="mail_send", arguments="{}")


@every_door
def test_a_call_is_judged_with_the_name_of_its_tool(door: Door) -> None:
    door.ask(ASKED, tool="mail_send", arguments='{"text": "hello"}')
    assert door.engine.asked[-1] == "mail_send\ntext\nhello"


@every_door
def test_a_result_is_judged_by_the_rules_of_its_tool(door: Door) -> None:
    shown = door.ask(history(door.name, "fetch_page", "an insult"))
    assert SORRY in shown
    assert door.engine.asked[-1] == "fetch_page\nan insult"
    assert door.llm.requests == []
    assert SORRY not in door.ask(history(door.name, "fetch_page", "a page"))


@every_door
def test_results_of_other_tools_are_judged_only_where_the_operator_says_so(door: Door) -> None:
    assert SORRY not in door.ask(history(door.name, "add", "a bomb"))
    assert "a bomb" not in " ".join(door.engine.asked)


def test_rules_of_a_tool_need_categories_where_they_act_on_them(llm: FakeLLM, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    rules = "{'mail_*': {categories: {unethical_acts: block}}}"
    file.write_text(f"policies: {{balanced: {{description: d, extends: loose, tools: {rules}}}}}")
    door = Door("chat", llm, file)
    assert SORRY in door.ask(ASKED, tool="mail_send", arguments='{"text": "an insult"}')
    assert "election" in door.ask(ASKED, tool="mail_send", arguments='{"text": "an election"}')
