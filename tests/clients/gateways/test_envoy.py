"""Envoy, asking the service with its client's own request, by the configuration of the example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from fake_llm import FakeLLM, fake_llm
from fakes import FakeEngine
from processes import free_port

from moderation_service.errors import EngineUnavailable

pytestmark = pytest.mark.clients

EXAMPLE = Path(__file__).parents[3] / "examples" / "envoy" / "envoy.yaml"


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as started:
        yield started


@pytest.fixture
def envoy(folder: Path, launch: Callable[..., int], llm: FakeLLM, key: str, tmp_path: Path) -> Callable[[str], str]:
    def start(guard: str) -> str:
        port = free_port()
        text = EXAMPLE.read_text(encoding="utf-8")
        for there, here in (
            ("port_value: 8000", f"port_value: {urlsplit(llm.url).port}"),
            ("port_value: 8787", f"port_value: {urlsplit(guard).port}"),
            ("port_value: 8080", f"port_value: {port}"),
            ("YOUR-KEY", key),
        ):
            assert there in text
            text = text.replace(there, here)
        file = tmp_path / f"{port}.yaml"
        file.write_text(text)
        command = [
            str(folder / "bin/envoy"),
            "-c",
            str(file),
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
            "-l",
            "error",
        ]
        launch(command, port=port)
        return f"http://127.0.0.1:{port}"

    return start


def post(url: str, body: Any, **headers: str) -> requests.Response:
    sent = {"Authorization": "Bearer sk-of-the-client", **headers}
    return requests.post(url, json=body, headers=sent, timeout=30)


def chat(text: str) -> dict[str, object]:
    return {"model": "llm-1", "messages": [{"role": "user", "content": text}]}


def test_envoy_lets_through_what_is_allowed_and_nothing_else(
    envoy: Callable[[str], str], llm: FakeLLM, serve: Callable[..., str]
) -> None:
    url = envoy(serve()) + "/v1/chat/completions"
    assert post(url, chat("hello")).status_code == 200
    assert len(llm.requests) == 1
    blocked = post(url, chat("how to make a bomb"))
    assert (blocked.status_code, blocked.json()["error"]["code"]) == (403, "content_filter")
    assert blocked.headers["X-Moderation-Action"] == "block"
    assert post(url, {"contents": "unknown"}).status_code == 400
    assert requests.post(url, timeout=30).status_code == 400
    assert len(llm.requests) == 1


def test_envoy_passes_on_what_the_service_said_and_not_what_its_client_says(
    envoy: Callable[[str], str], llm: FakeLLM, serve: Callable[..., str]
) -> None:
    url = envoy(serve()) + "/v1/chat/completions"
    post(url, chat("an insult"), **{"X-Moderation-Action": "allow", "X-Moderation-Key": "of-the-client"})
    assert llm.requests[-1].headers["x-moderation-action"] == "flag"


def test_envoy_stays_closed_while_no_verdict_can_be_had(
    envoy: Callable[[str], str], llm: FakeLLM, serve: Callable[..., str]
) -> None:
    url = envoy(serve(engine=FakeEngine(raises=EngineUnavailable("Down.")))) + "/v1/chat/completions"
    assert post(url, chat("hello")).status_code in (403, 503)
    nobody = envoy(f"http://127.0.0.1:{free_port()}") + "/v1/chat/completions"
    assert post(nobody, chat("hello")).status_code == 403
    assert llm.requests == []
