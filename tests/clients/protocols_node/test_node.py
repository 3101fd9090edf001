"""Clients of Responses and Messages for Node against a guarded model: each with its defaults, and another base URL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doors_models import BOMB, BREAD, HARMFUL, HELLO, SORRY, says_everywhere
from fake_llm import FakeLLM, fake_llm
from fakes import FakeEngine

from moderation_service.config.setting import Url
from moderation_service.errors import EngineUnavailable

from ..conftest import FOLDER, KEY

pytestmark = [pytest.mark.clients, pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")]

REASONS = {
    "openai": "content_filter",
    "anthropic": "violent",
    "ai openai": "content-filter",
    "ai anthropic": "content-filter",
}
each_client = pytest.mark.parametrize("client", REASONS)
each_mode = pytest.mark.parametrize("mode", ["whole", "stream"])


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        says_everywhere(fake, BREAD)
        yield fake


@pytest.fixture
def base(llm: FakeLLM, serve: Callable[..., str]) -> str:
    return serve(chat_upstream=Url(llm.url))


def ask(client: str, mode: str, base: str, prompt: str) -> Any:
    """What the client's program has in the end."""
    command = ["node", str(Path(__file__).with_name("ask.mjs")), client, mode, base, KEY, prompt]
    env = {**os.environ, "CLIENTS_FOLDER": str(FOLDER)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@each_client
@each_mode
def test_what_is_allowed_passes(client: str, mode: str, base: str) -> None:
    found = ask(client, mode, base, HELLO)
    assert (found["text"], found["reason"], found["error"]) == (BREAD, None, None)


@each_client
@each_mode
def test_a_blocked_prompt_is_told_by_text_and_reason(client: str, mode: str, base: str) -> None:
    found = ask(client, mode, base, BOMB)
    assert (found["text"], found["reason"], found["error"]) == (SORRY, REASONS[client], None)


@each_client
@each_mode
def test_a_blocked_answer_is_told_and_nothing_of_it_shown(client: str, mode: str, llm: FakeLLM, base: str) -> None:
    says_everywhere(llm, HARMFUL, pause_s=0.1)
    found = ask(client, mode, base, HELLO)
    assert (found["reason"], found["error"]) == (REASONS[client], None)
    assert found["text"].endswith(SORRY)
    said = found["text"].removesuffix(SORRY).removesuffix("\n\n")
    assert HARMFUL.startswith(said)
    assert "Now take the b" not in said


@each_client
@each_mode
def test_without_a_verdict_it_is_an_error(client: str, mode: str, llm: FakeLLM, serve: Callable[..., str]) -> None:
    down = FakeEngine(raises=EngineUnavailable("down"))
    base = serve(chat_upstream=Url(llm.url), engine=down, fallback=FakeEngine(raises=EngineUnavailable("down")))
    found = ask(client, mode, base, HELLO)
    assert found["error"]
    assert found["text"] == ""


@pytest.mark.parametrize("client", ["ai openai", "ai anthropic"])
def test_earlier_answers_may_be_referred_to(client: str, base: str, llm: FakeLLM) -> None:
    found = ask(client, "turns", base, HELLO)
    assert (found["turns"], found["error"]) == ([BREAD, BREAD], None)
    sent = llm.requests[-1].body
    assert BREAD.strip() in json.dumps(sent.get("input") or sent["messages"])
