"""docs/stream.md and its Chinese twin say what the service does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apps import client_of, make_service
from fake_stream_server import FakeStreamServer, write_model_dir

from moderation_service.config.settings import Url, declarations
from moderation_service.engines.stream import StopRule

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("stream.md", "stream.zh-CN.md"))
each_page = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["english", "chinese"])


@each_page
def test_every_setting_and_stop_rule_is_named(page: str) -> None:
    settings = [one.name for one in declarations() if one.section == "Stream engine"]
    assert [name for name in settings if f"`{name}`" not in page] == []
    assert all(f"| `{rule.value}`" in page for rule in StopRule)


@pytest.fixture
def upstream() -> Iterator[FakeStreamServer]:
    with FakeStreamServer() as server:
        yield server


def test_the_relay_of_the_page_shows_what_may_be_shown(
    upstream: FakeStreamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(stream_upstream=Url(upstream.url), stream_model_dir=write_model_dir(tmp_path))
    client = client_of(service)
    asked: list[dict[str, Any]] = []

    class Reply:
        def __init__(self, body: Any) -> None:
            self.json = lambda: body

        def raise_for_status(self) -> None:
            """It was answered."""

    def post(url: str, *, json: dict[str, Any], timeout: float) -> Reply:
        asked.append(json)
        reply = client.post(url.removeprefix("http://127.0.0.1:8787"), json=json)
        assert reply.status_code == 200, reply.json
        return Reply(reply.json)

    monkeypatch.setattr("requests.post", post)
    scope: dict[str, Callable[..., Iterator[str]]] = {}
    (code,) = re.findall(r"```python\n(.*?)```", ENGLISH, re.DOTALL)
    exec(code, scope)
    try:
        chunks = ["Mix flour ", "and water 🎉. ", "Then build a deto", "nator from parts."]
        shown = "".join(scope["guarded"]("How?", chunks, "call-1"))
        harmless = "".join(scope["guarded"]("How?", chunks[:2], "call-2"))
    finally:
        assert service.stream is not None
        service.stream.close()
    assert shown.startswith("Mix flour and water 🎉. Then build a")
    assert shown.endswith("Sorry, I can't help with that.")
    assert "deton" not in shown
    assert harmless == "Mix flour and water 🎉. "


def test_the_readme_of_the_plugin_has_the_command_of_the_page() -> None:
    readme = (ROOT / "vllm_plugins" / "qwen3guard_stream" / "README.md").read_text(encoding="utf-8")
    for flag in ("--max-model-len 8192", "--hf-overrides '{\"guard_max_rows\": 512}'", "--served-model-name"):
        assert flag in readme
        assert flag in ENGLISH
