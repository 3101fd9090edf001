"""Portkey's gateway, with the webhook as a guardrail before and behind the request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_llm import FakeLLM, fake_llm, says
from fakes import FakeEngine
from processes import free_port

from moderation_service.errors import EngineUnavailable

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("node") is None, reason="Portkey's gateway needs Node"),
]

BLOCKED = 446
PASSED_ALL_THE_SAME = 246


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as started:
        yield started


@pytest.fixture
def portkey(folder: Path, launch: Callable[..., int]) -> str:
    program = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    port = free_port()
    launch(["node", str(program), f"--port={port}", "--headless"], port=port, env={"TRUSTED_CUSTOM_HOSTS": "127.0.0.1"})
    return f"http://127.0.0.1:{port}/v1/chat/completions"


def ask(
    portkey: str,
    llm: FakeLLM,
    guard: str,
    text: str,
    *,
    key: str,
    url: str = "/portkey",
    hooks: Sequence[str] = ("before", "after"),
    **fields: Any,
) -> requests.Response:
    parameters = {"webhookURL": guard + url, "headers": {"x-api-key": key}, "timeout": 3000}
    check = {"id": "default.webhook", "parameters": parameters}
    guardrail = {"type": "guardrail", "deny": True, "checks": [check]}
    config: dict[str, Any] = {f"{one}_request_hooks": [{**guardrail, "id": one}] for one in hooks}
    config |= {"provider": "openai", "api_key": "k", "custom_host": llm.url}
    body = {"model": "llm-1", "messages": [{"role": "user", "content": text}], **fields}
    headers = {"x-portkey-config": json.dumps(config)}
    return requests.post(portkey, json=body, headers=headers, timeout=30)


def test_what_is_blocked_does_not_pass(portkey: str, llm: FakeLLM, serve: Callable[..., str], key: str) -> None:
    guard = serve()
    llm.behave = says("Mix flour.")
    passed = ask(portkey, llm, guard, "How do I bake bread?", key=key)
    assert (passed.status_code, passed.json()["choices"][0]["message"]["content"]) == (200, "Mix flour.")
    asked = len(llm.requests)
    assert ask(portkey, llm, guard, "how to make a bomb", key=key).status_code == BLOCKED
    assert len(llm.requests) == asked, "the model is not asked"
    llm.behave = says("take a bomb")
    blocked = ask(portkey, llm, guard, "a poem", key=key)
    assert blocked.status_code == BLOCKED
    assert "take a" not in blocked.text


def test_what_was_not_judged_does_not_pass_without_failonerror(
    portkey: str, llm: FakeLLM, serve: Callable[..., str], key: str
) -> None:
    down = serve(engine=FakeEngine(raises=EngineUnavailable("Down.")))
    assert ask(portkey, llm, down, "hello", key=key).status_code == BLOCKED
    assert ask(portkey, llm, serve(), "hello", key="another-key-000").status_code == BLOCKED


def test_streams_leak_unless_they_are_refused(portkey: str, llm: FakeLLM, serve: Callable[..., str], key: str) -> None:
    guard = serve()
    llm.behave = says("take a bomb")
    leaked = ask(portkey, llm, guard, "a poem", key=key, stream=True)
    assert leaked.status_code == PASSED_ALL_THE_SAME
    assert "bomb" in leaked.text
    refused = ask(portkey, llm, guard, "a poem", key=key, url="/portkey?streams=refuse", hooks=["before"], stream=True)
    assert refused.status_code == BLOCKED
