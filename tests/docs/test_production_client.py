"""The client of docs/api.md, run as printed: against the service, and against servers that fail."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_llm import FakeLLM, Request, fake_llm, http
from processes import SERVE_LITE, running

from moderation_service.config.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [(DOCS / name).read_text(encoding="utf-8") for name in ("api.md", "api.zh-CN.md")]
((CODE, PRINTED),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGES[0], re.DOTALL)
DECISION = {"allowed": True, "action": "allow"}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the client makes; they take no time."""
    made: list[float] = []
    monkeypatch.setattr("time.sleep", made.append)
    return made


@pytest.fixture
def server() -> Iterator[FakeLLM]:
    with fake_llm() as one:
        yield one


def client(url: str) -> Any:
    """The function that the page shows, asking this address."""
    definitions = CODE.partition("decision = moderate(")[0]
    names: dict[str, Any] = {}
    exec(definitions.replace("http://127.0.0.1:8787", url), names)
    return names["moderate"]


def answering(server: FakeLLM, *replies: bytes) -> None:
    waiting = list(replies)

    def behave(request: Request) -> Iterable[bytes]:
        assert (request.path, request.headers["authorization"]) == ("/moderate", "Bearer KEY")
        return [waiting.pop(0)]

    server.behave = behave


def test_it_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    with running(command=SERVE_LITE) as service:
        exec(CODE.replace("http://127.0.0.1:8787", service.url), {})
    assert capsys.readouterr().out == PRINTED


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again(server: FakeLLM, pauses: list[float], status: int) -> None:
    answering(server, http(status, {}), http(200, DECISION))
    assert client(server.url)({"prompt": "Hello"}) == DECISION
    assert pauses == [0.5]


def test_the_pause_is_the_one_asked_for(server: FakeLLM, pauses: list[float]) -> None:
    answering(server, http(503, {}, headers="Retry-After: 7\r\n"), http(429, {}), http(200, DECISION))
    assert client(server.url)({"prompt": "Hello"}) == DECISION
    assert pauses == [7, 1]


@pytest.mark.parametrize("status", [400, 401, 413, 500])
def test_what_would_fail_again_is_raised(server: FakeLLM, pauses: list[float], status: int) -> None:
    answering(server, http(status, {}))
    with pytest.raises(OSError, match=str(status)):
        client(server.url)({"prompt": "Hello"})
    assert (pauses, len(server.requests)) == ([], 1)


def test_without_an_answer_there_is_no_decision(server: FakeLLM, pauses: list[float], unused_port: int) -> None:
    answering(server, *[http(503, {})] * 3)
    assert client(server.url)({"prompt": "Hello"}) is None
    assert client(f"http://127.0.0.1:{unused_port}")({"prompt": "Hello"}) is None
    assert pauses == [0.5, 1, 0.5, 1]


def test_its_timeout_is_longer_than_the_services_deadline() -> None:
    (timeout,) = re.findall(r"TIMEOUT_S = (\d+)", CODE)
    assert int(timeout) > Settings().deadline_s
    assert f"deadline_s is {Settings().deadline_s:.0f}" in CODE


def test_both_pages_have_it() -> None:
    assert all(CODE in page and PRINTED in page for page in PAGES)


@pytest.mark.parametrize("language", ["js", "java", "go"])
def test_both_pages_have_the_clients_of_other_languages(language: str) -> None:
    """They are run by `make test-clients FAMILY=generated`."""
    codes = [re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) for page in PAGES]
    assert codes[0] == codes[1]
    assert f"deadline_s is {Settings().deadline_s:.0f}" in codes[0][0]
