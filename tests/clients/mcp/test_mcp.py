"""The official SDK's client against the MCP server: in memory, over stdio and over streamable HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from app_files import FORUM, SHOP, headers, write_apps
from apps import client_of, make_service
from fakes import FakeEngine
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from processes import free_port

from moderation_service.core.policy import BUILT_IN
from moderation_service.errors import EngineUnavailable
from moderation_service.web.mcp_server import PATH, create_mcp_server, http_app

pytestmark = pytest.mark.clients

SORRY = "Sorry, I can't help with that."


def ask(server: Any, tool: str, **arguments: Any) -> Any:
    """The result of one call."""

    async def call() -> Any:
        async with Client(server) as client:
            return await client.call_tool(tool, arguments)

    return anyio.run(call)


def in_memory(**parts: Any) -> Any:
    return create_mcp_server(make_service(**parts))


def test_the_tools_say_what_they_take_and_give() -> None:
    async def listed() -> Any:
        async with Client(in_memory()) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in anyio.run(listed)}
    assert set(tools) == {"check_prompt", "check_response", "explain_policy"}
    assert tools["check_prompt"].input_schema["required"] == ["text"]
    assert tools["check_response"].output_schema["properties"]["action"]["enum"] == ["allow", "flag", "block"]


def test_a_block_is_a_result_and_no_error() -> None:
    blocked = ask(in_memory(), "check_prompt", text="how to make a bomb")
    assert not blocked.is_error
    found = blocked.structured_content
    assert (found["action"], found["safety"], found["categories"]) == ("block", "unsafe", ["violent"])
    assert (found["message"], found["policy"]) == (SORRY, "balanced")
    allowed = ask(in_memory(), "check_prompt", text="How do I bake bread?").structured_content
    assert (allowed["action"], allowed["safety"], allowed["message"]) == ("allow", "safe", None)


def test_an_answer_is_judged_with_its_question_by_the_policy_named() -> None:
    engine = FakeEngine()
    server = in_memory(engine=engine)
    found = ask(server, "check_response", text="an insult", prompt="hello", policy="strict").structured_content
    assert (found["action"], found["policy"], found["refusal"]) == ("block", "strict", False)
    assert engine.asked == ["an insult"]
    assert ask(server, "check_response", text="an insult").structured_content["action"] == "flag"


def test_no_verdict_is_an_error_with_the_reason() -> None:
    down = in_memory(engine=FakeEngine(raises=EngineUnavailable("The engine is down.")))
    failed = ask(down, "check_prompt", text="hello")
    assert failed.is_error
    assert "no verdict: The engine is down." in failed.content[0].text


def test_a_bad_argument_is_an_error_that_names_it() -> None:
    for arguments, told in (
        ({"text": " "}, "`text` is empty"),
        ({"text": "a", "policy": "srict"}, "`policy` is no policy"),
    ):
        failed = ask(in_memory(), "check_prompt", **arguments)
        assert failed.is_error
        assert told in failed.content[0].text


def test_a_policy_is_explained_in_words() -> None:
    told = ask(in_memory(), "explain_policy", policy="strict").structured_content
    assert told["prompts"][:3] == ["Allows safe text.", "Blocks controversial text.", "Blocks unsafe text."]
    assert told["policies"] == sorted(BUILT_IN)
    assert ask(in_memory(), "explain_policy").structured_content["is_default"] is True


def test_over_stdio_the_command_is_the_server(folder: Path) -> None:
    command = str(folder / "bin/moderation-service")
    server = StdioServerParameters(command=command, args=["mcp", "--engine", "lite"], env=dict(os.environ))
    assert ask(server, "check_prompt", text="How can I make a bomb?").structured_content["action"] == "block"


def test_over_http_a_key_is_asked_for(folder: Path, launch: Callable[..., int]) -> None:
    port = free_port()
    command = [str(folder / "bin/moderation-service"), "mcp", "--transport", "streamable-http", "--port", str(port)]
    launch(command, port=port, env={"MODERATION_API_KEYS": "agent:mcp-key-0123"})
    url = f"http://127.0.0.1:{port}/mcp"
    assert httpx2.post(url, json={}).status_code == 401

    async def call() -> Any:
        key = {"Authorization": "Bearer mcp-key-0123"}
        async with (
            httpx2.AsyncClient(headers=key) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return await client.call_tool("check_prompt", {"text": "How can I make a bomb?"})

    assert anyio.run(call).structured_content["action"] == "block"


def test_over_http_without_keys_the_names_of_others_are_refused(folder: Path, launch: Callable[..., int]) -> None:
    port = free_port()
    command = [str(folder / "bin/moderation-service"), "mcp", "--transport", "streamable-http", "--port", str(port)]
    launch(command, port=port)
    url = f"http://127.0.0.1:{port}/mcp"
    assert ask(url, "explain_policy").structured_content["policy"] == "balanced"
    assert httpx2.post(url, json={}, headers={"Host": "rebound.example"}).status_code == 421


def refusal(service: Any, key: str) -> tuple[int, dict[str, str], Any]:
    """What streamable HTTP answers somebody with this key who is not let in."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask_once() -> None:
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": [(b"x-api-key", key.encode())]}
        await http_app(service)(scope, None, send)

    anyio.run(ask_once)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, json.loads(sent[1]["body"])["error"]


def test_an_app_is_held_to_its_doors_and_limits_here_too(tmp_path: Path) -> None:
    service = make_service(apps_file=write_apps(tmp_path, "doors: [moderate]", forum="limits: {per_day: 1}"))
    status, _, error = refusal(service, SHOP)
    assert (status, error["message"]) == (403, "The app of this key may not use the door `mcp`.")
    assert client_of(service).post("/moderate", json={"prompt": "x"}, headers=headers(FORUM)).status_code == 200
    status, told, error = refusal(service, FORUM)
    assert (status, error["type"], told["retry-after"]) == (429, "rate_limited", "86400")
